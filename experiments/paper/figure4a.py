"""Figure 4a: what each decoding step predicts, against the teacher's codes and the final prediction.

Paper: Figure 4a and Section 3.2: at each of T = 8 steps the KL divergence and the top-1 accuracy of the
predictions, against the ground truth m_g and against the final prediction m_T. The figure prints no numbers,
and does not say which model it shows: its text is about training on ground truth, so its claims are asked of
the vanilla row.

Command: `python -m experiments run figure4a`
Expected: shares every training and evaluation with `table3`; an analysis takes seconds.
"""

from experiments.specs import Experiment, Row, read_claims

EXPERIMENT = Experiment(
    name="figure4a",
    kind="figure",
    title="What each decoding step knows",
    source="Figure 4a, Section 3.2",
    description=(
        "The predictions of every step of an 8-step decoding, at all positions, held against the teacher's "
        "codes and against what the decoding ends with. Vanilla training shows the decoder the ground truth, "
        "SFVR its own first-step prediction."
    ),
    rows=(
        Row(name="vanilla", as_in="table3"),
        Row(name="sfvr", as_in="table3"),
        Row(name="sfvr-warm-up", as_in="table3"),
    ),
    analyses=("steps",),
    claims=read_claims("experiments.paper", "figure4a"),
)
