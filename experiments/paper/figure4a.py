"""Figure 4a: the predictions of each decoding step, against the teacher's codes and the final prediction.

Paper: Figure 4a and Section 3.2: at each of T = 8 steps, the KL divergence and the top-1 accuracy of the
predictions, relative to the ground truth m_g and to the final prediction m_T. The figure prints no numbers
and does not say which model it shows. Its text is about training on ground truth, so its claims are tested on
the vanilla row.

Command: `python -m experiments run figure4a`
Expected: shares every training and evaluation with `table3`; an analysis takes seconds.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="figure4a",
    kind="figure",
    title="Predictions of each decoding step",
    source="Figure 4a, Section 3.2",
    description=(
        "The predictions of every step of an 8-step decoding, at all positions, compared with the teacher's "
        "codes and with the final prediction. Vanilla training shows the decoder the ground truth; SFVR "
        "shows it its own first-step prediction."
    ),
    rows=(
        Row(name="vanilla", as_in="table3"),
        Row(name="sfvr", as_in="table3"),
        Row(name="sfvr-warm-up", as_in="table3"),
    ),
    analyses=("steps",),
    claims=(
        Claim(
            name="final-prediction-is-not-the-truth",
            text="A substantial gap lies between the ground truth and the final prediction",
            source="Section 3.2, Figure 4a",
            metric="agreement_with_final",
            order="vanilla@step=8,positions=all > vanilla:accuracy@step=8,positions=all",
        ),
        Claim(
            name="first-step-is-close-to-the-final-prediction",
            text=(
                "The first step's distribution is close to the final prediction's, closer than to the truth"
            ),
            source="Section 3.2, Figure 4a",
            metric="kl_to_final",
            order="vanilla@step=1,positions=all < vanilla:kl_to_truth@step=1,positions=all",
        ),
        Claim(
            name="steps-approach-the-final-prediction",
            text="With more steps the divergence from the final prediction shrinks",
            source="Section 3.2, Figure 4a",
            metric="kl_to_final",
            order=(
                "vanilla@step=3,positions=all < vanilla@step=1,positions=all",
                "vanilla@step=5,positions=all < vanilla@step=3,positions=all",
                "vanilla@step=7,positions=all < vanilla@step=5,positions=all",
            ),
        ),
        Claim(
            name="accuracy-rises-with-steps",
            text="With more steps the top-1 accuracy rises",
            source="Section 3.2, Figure 4a",
            metric="accuracy",
            order="vanilla@step=8,positions=all > vanilla@step=1,positions=all",
        ),
        Claim(
            name="agreement-rises-with-steps",
            text="With more steps the top-1 agreement with the final prediction rises",
            source="Section 3.2, Figure 4a",
            metric="agreement_with_final",
            order="vanilla@step=8,positions=all > vanilla@step=1,positions=all",
        ),
        Claim(
            name="discrepancy-is-amplified",
            text="Trained on ground truth, the discrepancy from it is amplified from step to step",
            source="Section 3.2",
            metric="kl_to_truth",
            order="vanilla@step=1,positions=all < vanilla@step=8,positions=all",
        ),
        Claim(
            name="sfvr-mitigates-the-discrepancy",
            text="SFVR mitigates it: at the last step its predictions are closer to the ground truth",
            source="Section 3.2",
            metric="kl_to_truth",
            order=(
                "sfvr@step=8,positions=all < vanilla@step=8,positions=all",
                "sfvr-warm-up@step=8,positions=all < vanilla@step=8,positions=all",
            ),
        ),
    ),
)
