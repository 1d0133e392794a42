"""Does a decoder gain information or computation from its own predictions?

Appendix C equates the gain with the mutual information between a code and the predicted ones. But predictions
made from the tokens alone say nothing about the true codes beyond these tokens: given Z_q the two are
independent, and their mutual information is zero. True codes do carry information. All that a decoder can
gain from its own codes is the computation of another pass, which a deeper decoder performs as well.

Command: `python -m experiments run information`
Expected: shares every artifact with `appendix_c`.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="information",
    kind="ablation",
    title="Information or computation",
    source="Appendix C, Equation 4",
    description=(
        "The rows of Appendix C with another question: does a decoder gain more from its own predictions, as "
        "a context, than from the same amount of computation without them? The deeper decoder is trained for "
        "as many steps, and one of its passes costs as much as two passes of the others."
    ),
    rows=(
        Row(name="vanilla", as_in="table3"),
        Row(name="sfvr-warm-up", as_in="table3"),
        Row(name="single-step", as_in="appendix_c"),
        Row(name="deeper-decoder", as_in="appendix_c"),
    ),
    analyses=("contexts",),
    claims=(
        Claim(
            name="truth-is-information",
            text="True codes are information: given them, the cross-entropy is lower than without",
            source="Equation 4, with the truth as context",
            metric="cross_entropy",
            order=(
                "vanilla@context=true,visible=0.25 < vanilla@context=single,visible=0.25",
                "vanilla@context=true,visible=0.5 < vanilla@context=single,visible=0.5",
                "vanilla@context=true,visible=0.75 < vanilla@context=single,visible=0.75",
            ),
        ),
        Claim(
            name="depth-is-worth-a-second-pass",
            text="One pass of a deeper decoder predicts better than the second pass over own codes",
            source="Equal computing, without a context",
            metric="cross_entropy",
            order=(
                "deeper-decoder@context=single,visible=0.5 < sfvr-warm-up@context=own,visible=0.5",
                "deeper-decoder@context=single,visible=0.5 < sfvr-warm-up@context=second_pass,visible=0.5",
            ),
        ),
        Claim(
            name="one-pass-is-enough",
            text="A single-step decoder of the same size predicts better than two passes over own codes",
            source="Half the computing, without a context",
            metric="cross_entropy",
            order="single-step@context=single,visible=0.5 < sfvr-warm-up@context=own,visible=0.5",
        ),
        Claim(
            name="own-codes-gain-less-than-the-truth",
            text="What the own codes gain is less than what true codes do",
            source="Equation 4, own codes against true ones",
            metric="information_gain",
            order="vanilla@visible=0.5 > sfvr-warm-up:computation_gain@visible=0.5",
        ),
    ),
)
