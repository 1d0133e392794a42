"""Figures 6, 16 and 17: generated images by class.

Paper: Figure 6 (Section 4.3), Figure 16 (SFTok-B) and Figure 17 (SFTok-L, Appendix E.3): pictures without
numbers.

Command: `python -m experiments run figure6`
Expected: shares every artifact with `table2`.
"""

from experiments.specs import Experiment, Row

EXPERIMENT = Experiment(
    name="figure6",
    kind="figure",
    title="Generated images by class",
    source="Figures 6, 16 and 17, Section 4.3, Appendix E.3",
    description=(
        "Samples of MaskGIT on the tokens of SFTok-B (Figure 16) and SFTok-L (Figure 17): the first ones of "
        "each class, without selection."
    ),
    rows=(Row(name="sftok-b", as_in="table2"), Row(name="sftok-l", as_in="table2")),
)
