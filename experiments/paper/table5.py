"""Table 5: the cost of training.

Paper: Table 5 and Appendix B: GPU hours of SFTok-B and SFTok-L on eight RTX 4090. Here hours are measured on
this machine, with the speed and memory of each stage, and projected to the paper's size at the same rate.

Command: `python -m experiments run table5`
Expected: shares everything with `table1`.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="table5",
    kind="table",
    title="Training cost",
    source="Table 5, Appendix B",
    description=(
        "Hours per stage: GPU hours in the paper, and measured hours on this machine. The stages of SFTok-B "
        "and SFTok-L are those of Table 1."
    ),
    rows=(
        Row(
            name="sftok-b",
            as_in="table1",
            published={"hours_stages_1_2": 1224, "hours_stage_3": 1656, "hours_total": 2880},
        ),
        Row(
            name="sftok-l",
            as_in="table1",
            published={"hours_stages_1_2": 1728, "hours_stage_3": 3264, "hours_total": 4992},
        ),
    ),
    costs=True,
    claims=(
        Claim(
            name="larger-decoder-costs-more",
            text="SFTok-L takes longer to train than SFTok-B: 4992 against 2880 GPU hours",
            source="Table 5",
            metric="hours_total",
            order="sftok-b < sftok-l",
        ),
    ),
)
