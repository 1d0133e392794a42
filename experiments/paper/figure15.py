"""Figure 15: more reconstructions.

Paper: Figure 15 and Appendix E.2, pictures without numbers: "further visual evidence of our SFTok model's
consistent superiority" and of "preserving fine details". The measure of it, SSIM, is ours.

Command: `python -m experiments run figure15`
Expected: shares every artifact with `table1`.
"""

from experiments.spec import Claim, Comparison, Experiment, Point, Row

EXPERIMENT = Experiment(
    name="figure15",
    kind="figure",
    title="Reconstructions",
    source="Figure 15, Appendix E.2",
    description="The same images through the 1D tokenizers of Table 1: the first one of each class.",
    rows=(
        Row(name="titok-b", as_in="table1"),
        Row(name="one-d-piece-b", as_in="table1"),
        Row(name="sftok-b", as_in="table1"),
        Row(name="sftok-l", as_in="table1"),
    ),
    claims=(
        Claim(
            name="fine-details",
            text="SFTok preserves fine details better than the single-step tokenizers (SSIM)",
            source="Appendix E.2",
            metric="ssim",
            lower_is_better=False,
            comparisons=(
                Comparison(better=Point(row="sftok-b", steps=8), worse=Point(row="titok-b", steps=1)),
                Comparison(better=Point(row="sftok-b", steps=8), worse=Point(row="one-d-piece-b", steps=1)),
                Comparison(better=Point(row="sftok-l", steps=8), worse=Point(row="titok-b", steps=1)),
                Comparison(better=Point(row="sftok-l", steps=8), worse=Point(row="one-d-piece-b", steps=1)),
            ),
        ),
    ),
)
