"""Figure 5: reconstructions of the same images by several systems.

Paper: Figure 5 and Section 4.2: reconstructions of ImageNet's validation images by methods that describe an
image by 64 tokens, including One-D-Piece-B. The paper says in words that SFTok keeps fine details better;
here this is measured by SSIM.

Command: `python -m experiments run figure5`
Expected: shares every artifact with `table1`.
"""

from experiments.specs import Claim, Experiment, Gallery, Row

EXPERIMENT = Experiment(
    name="figure5",
    kind="figure",
    title="The same images through several systems",
    source="Figure 5, Section 4.2",
    description=(
        "Reconstructions of the first evaluated images of each class by the 1D tokenizers of Table 1, after "
        "all three stages, and their errors. The paper's claim about fine details is in words; here it is "
        "tested with SSIM."
    ),
    rows=(
        Row(name="titok-b", as_in="table1"),
        Row(name="titok-bl", as_in="table1"),
        Row(name="one-d-piece-b", as_in="table1"),
        Row(name="one-d-piece-l", as_in="table1"),
        Row(name="sftok-b", as_in="table1"),
        Row(name="sftok-l", as_in="table1"),
    ),
    galleries=(Gallery(title="Figure 5: reconstructions by several systems", layout="systems"),),
    claims=(
        Claim(
            name="sftok-keeps-details",
            text="SFTok preserves fine-grained details more effectively than the other methods",
            source="Figure 5, Section 4.2",
            metric="ssim",
            order=(
                "sftok-b@8 > titok-b@1",
                "sftok-b@8 > one-d-piece-b@1",
                "sftok-l@8 > titok-b@1",
                "sftok-l@8 > one-d-piece-b@1",
            ),
        ),
    ),
)
