"""A gallery of reconstructions, class by class.

Paper: Figure 15, Appendix E.2: pictures without numbers.

Command: `python -m experiments run figure15`
Expected: shares every artifact with `table1`.
"""

from experiments.specs import Experiment, Gallery, Row

EXPERIMENT = Experiment(
    name="figure15",
    kind="figure",
    title="Reconstructions by class",
    source="Figure 15, Appendix E.2",
    description=(
        "The first evaluated images of every class, and their reconstructions by SFTok-B and SFTok-L after "
        "all three stages."
    ),
    rows=(Row(name="sftok-b", as_in="table1"), Row(name="sftok-l", as_in="table1")),
    galleries=(Gallery(title="Reconstructions by class", layout="classes"),),
)
