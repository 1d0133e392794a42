"""Figure 1: the main results of SFTok: (a) rFID falls with the number of steps, (b) 64 tokens suffice.

Paper: Figure 1. It prints no numbers of its own; the numbers of (b) are from Table 1.

Command: `python -m experiments run figure1`
Expected: shares everything with `table1`.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="figure1",
    kind="figure",
    title="rFID over decoding steps, and other systems of equal length",
    source="Figure 1",
    description=(
        "SFTok after all three stages, decoded in 1 to 16 steps, and the other systems of the paper that "
        "describe an image by 64 tokens."
    ),
    facts=("Token length", "#Code"),
    rows=(
        Row(name="titok-b", as_in="table1"),
        Row(name="titok-bl", as_in="table1"),
        Row(name="one-d-piece-b", as_in="table1"),
        Row(name="one-d-piece-l", as_in="table1"),
        Row(name="sftok-b", as_in="table1"),
        Row(name="sftok-l", as_in="table1"),
    ),
    claims=(
        Claim(
            name="rfid-falls-with-steps-after-stage-3",
            text="Reconstruction improves with the number of decoding steps: rFID at 8 below that at 1",
            source="Figure 1a",
            order=("sftok-b@8 < sftok-b@1", "sftok-l@8 < sftok-l@1"),
        ),
        Claim(
            name="best-of-64-tokens",
            text="At equal length SFTok-L outperforms the other systems",
            source="Figure 1b",
            order=(
                "sftok-l@8 < titok-b@1",
                "sftok-l@8 < titok-bl",
                "sftok-l@8 < one-d-piece-b@1",
                "sftok-l@8 < one-d-piece-l@1",
            ),
        ),
    ),
)
