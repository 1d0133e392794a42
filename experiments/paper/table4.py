"""Table 4: the mask replacement ratio.

Paper: Table 4 and Section 4.4, "Mask Replacement Ratio": rFID of SFTok-B after stage 2 at 8 decoding steps;
stage 1 takes 200k steps, stage 2 takes 800k.

Command: `python -m experiments run table4`
Expected: the cpu profile takes about a quarter of an hour on two cores; docs/results.md has the numbers.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="table4",
    kind="table",
    title="Ablation on the mask replacement ratio",
    source="Table 4, Section 4.4",
    description=(
        "In stage 2 a share of the visible positions shows the model's own first-step prediction instead of "
        "the ground truth. All rows share the teacher, its codes and the warm-up; only the ratio differs."
    ),
    rows=(
        Row(
            name="ratio-0.5",
            label="SFTok-B, ratio 0.5",
            overrides={"stage2.context.replacement_ratio": 0.5},
            published={"rfid": 4.96},
        ),
        Row(
            name="ratio-0.8",
            label="SFTok-B, ratio 0.8",
            overrides={"stage2.context.replacement_ratio": 0.8},
            published={"rfid": 4.59},
        ),
        Row(
            name="ratio-1.0",
            label="SFTok-B, ratio 1.0",
            overrides={"stage2.context.replacement_ratio": 1.0},
            published={"rfid": 4.33},
        ),
    ),
    claims=(
        Claim(
            name="higher-ratio-is-better",
            text="rFID falls as the replacement ratio rises: 1.0 < 0.8 < 0.5",
            source="Table 4",
            order="ratio-1.0@8 < ratio-0.8@8 < ratio-0.5@8",
        ),
    ),
)
