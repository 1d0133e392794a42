"""Figure 4b: the reconstruction loss with and without a warm-up.

Paper: Figure 4b and Section 3.3: without a warm-up "the first-step prediction lacks semantic information",
and the loss converges to a poorer value. The figure prints no numbers.

Command: `python -m experiments run figure4b`
Expected: shares every artifact with `table3`.
"""

from experiments.specs import Claim, Curve, Experiment, Row

EXPERIMENT = Experiment(
    name="figure4b",
    kind="figure",
    title="Reconstruction loss with and without a warm-up",
    source="Figure 4b, Section 3.3",
    description=(
        "The training curves of the two SFVR rows of Table 3, of equal total length. In the warm-up, "
        "everything is masked; afterwards, only a random part is, so the losses of the two stages belong to "
        "different tasks."
    ),
    rows=(Row(name="sfvr", as_in="table3"), Row(name="sfvr-warm-up", as_in="table3")),
    curves=(
        Curve(
            title="Figure 4b: reconstruction loss",
            stages=("warm-up", "alignment"),
            quantity="reconstruction_loss",
        ),
    ),
    claims=(
        Claim(
            name="warm-up-lowers-the-loss",
            text="With a warm-up the reconstruction loss converges to a lower value",
            source="Figure 4b",
            metric="final_reconstruction_loss",
            order="sfvr-warm-up < sfvr",
        ),
    ),
)
