"""Figure 7: the same images at several numbers of decoding steps.

Paper: Figure 7 and Section 4.4: SFTok-B "trained through the first two stages", whose details become finer
with more steps. Here the vanilla row of Table 3 is shown next to it, and details are measured by SSIM.

Command: `python -m experiments run figure7`
Expected: shares every artifact with `table3`.
"""

from experiments.specs import Claim, Experiment, Gallery, Row

EXPERIMENT = Experiment(
    name="figure7",
    kind="figure",
    title="The same images at several numbers of steps",
    source="Figure 7, Section 4.4",
    description=(
        "SFTok-B after the first two stages and, for comparison, vanilla training, decoded in 1 to 16 steps; "
        "the errors of each reconstruction, and the changes between steps. The paper says in words that "
        "details become more refined; here this is tested with SSIM."
    ),
    rows=(Row(name="sfvr-warm-up", as_in="table3"), Row(name="vanilla", as_in="table3")),
    galleries=(Gallery(title="Figure 7: reconstructions at different steps", layout="steps"),),
    claims=(
        Claim(
            name="details-are-refined-with-steps",
            text="With more decoding steps the details in the image become more refined",
            source="Figure 7, Section 4.4",
            metric="ssim",
            order="sfvr-warm-up@8 > sfvr-warm-up@1",
        ),
    ),
)
