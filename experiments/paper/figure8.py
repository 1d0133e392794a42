"""Figure 8: rFID and IS over the number of decoding steps.

Paper: Figure 8 and Section 4.4, "Image Reconstruction with Varying Steps": SFTok-B after the first two
stages, 1 to 16 steps. The figure prints no numbers; the published rFID at 8 steps is Table 4's.

Command: `python -m experiments run figure8`
Expected: shares every artifact with `table3`.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="figure8",
    kind="figure",
    title="Reconstruction quality over decoding steps",
    source="Figure 8, Section 4.4",
    description=(
        "One trained tokenizer, decoded in 1 to 16 steps; for comparison the vanilla training of Table 3, "
        "whose quality, according to the paper, suffers from multi-step decoding."
    ),
    rows=(
        Row(
            name="sfvr-warm-up",
            label="SFTok-B (SFVR + warm-up)",
            overrides={"stage2.context.replacement_ratio": 1.0},
            published={"rfid": 4.33},
        ),
        Row(
            name="vanilla",
            label="Vanilla",
            overrides={"stage1.steps": 0, "stage2.context.replacement_ratio": 0.0},
            published={"rfid": 6.47},
        ),
    ),
    claims=(
        Claim(
            name="rfid-falls-with-steps",
            text="rFID falls from 1 to 8 decoding steps",
            source="Figure 8",
            order="sfvr-warm-up@8 < sfvr-warm-up@1",
        ),
        Claim(
            name="is-rises-with-steps",
            text="The Inception Score rises from 1 to 8 decoding steps",
            source="Figure 8",
            metric="is",
            order="sfvr-warm-up@8 > sfvr-warm-up@1",
        ),
    ),
)
