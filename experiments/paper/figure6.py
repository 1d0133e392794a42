"""A gallery of reconstructions, class by class.

Paper: Figure 15 and Appendix E.2 show more reconstructions. Its Figure 6 is a gallery too, but of generated
images, which need a generator on the tokens (Section 4.3); the page says so.

Command: `python -m experiments run figure6`
Expected: shares every artifact with `table1`.
"""

from experiments.spec import Experiment, Gallery, Row

EXPERIMENT = Experiment(
    name="figure6",
    kind="figure",
    title="Reconstructions by class",
    source="Gallery of Figures 6 and 15",
    description=(
        "The first evaluated images of every class, and what SFTok-B and SFTok-L make of them after all "
        "three stages. The paper's gallery of reconstructions is its Figure 15; the images of its Figure 6 "
        "are generated, and this page has none."
    ),
    rows=(Row(name="sftok-b", as_in="table1"), Row(name="sftok-l", as_in="table1")),
    galleries=(Gallery(title="Reconstructions by class", layout="classes"),),
)
