"""Appendix C: the theory of multi-step prediction, measured.

Paper: Section 3.2, equations 2 to 4, and Appendix C: given other codes, a code's cross-entropy can be lower
(C.1) and its top-1 accuracy higher (C.2) than given only the tokens. The paper measures none of this. Its
context is "the predicted values", while training on ground truth shows the true ones; both are measured here,
on the same masked positions. Two controls separate information from computation: a second pass over the
decoder's whole prediction, and a decoder with twice the layers, whose single pass computes as much as two.

Command: `python -m experiments run appendix_c`
Expected: after `run table3` two tokenizers are trained, in about 10 minutes per seed at the cpu profile; the
single-step one is also the start of `table1`'s TiTok-B.
"""

from experiments.specs import Claim, Experiment, Row

_SINGLE_STEP = {"stage1.steps": "all", "evaluation.steps": [1]}

EXPERIMENT = Experiment(
    name="appendix_c",
    kind="table",
    title="Predictions with and without a context",
    source="Appendix C, Section 3.2",
    description=(
        "Cross-entropy, top-1 accuracy and its bound at masked positions, when the visible positions show "
        "nothing, the teacher's codes, or the decoder's own first-step prediction. Single-step rows never "
        "see a visible code in training, so only their predictions without a context are measured."
    ),
    rows=(
        Row(name="vanilla", as_in="table3"),
        Row(name="sfvr-warm-up", as_in="table3"),
        Row(name="single-step", label="Single step", overrides=_SINGLE_STEP, steps=1),
        Row(
            name="deeper-decoder",
            label="Single step, decoder twice as deep",
            variants=("deeper-decoder",),
            overrides=_SINGLE_STEP,
            steps=1,
        ),
    ),
    analyses=("contexts",),
    claims=(
        Claim(
            name="lower-loss-given-predictions",
            text="Given the predicted codes, the cross-entropy is lower than in single-step prediction",
            source="Equations 2 to 4, Appendix C.1",
            metric="cross_entropy",
            order=(
                "sfvr-warm-up@context=own,visible=0.25 < sfvr-warm-up@context=single,visible=0.25",
                "sfvr-warm-up@context=own,visible=0.5 < sfvr-warm-up@context=single,visible=0.5",
                "sfvr-warm-up@context=own,visible=0.75 < sfvr-warm-up@context=single,visible=0.75",
            ),
        ),
        Claim(
            name="higher-accuracy-given-predictions",
            text=("Given the predicted codes, the top-1 accuracy is higher than in single-step prediction"),
            source="Appendix C.2",
            metric="accuracy",
            order=(
                "sfvr-warm-up@context=own,visible=0.25 > sfvr-warm-up@context=single,visible=0.25",
                "sfvr-warm-up@context=own,visible=0.5 > sfvr-warm-up@context=single,visible=0.5",
                "sfvr-warm-up@context=own,visible=0.75 > sfvr-warm-up@context=single,visible=0.75",
            ),
        ),
        Claim(
            name="bound-rises-given-predictions",
            text="The bound of the top-1 accuracy is higher given the predicted codes",
            source="Appendix C.2",
            metric="accuracy_bound",
            order=(
                "sfvr-warm-up@context=own,visible=0.25 > sfvr-warm-up@context=single,visible=0.25",
                "sfvr-warm-up@context=own,visible=0.5 > sfvr-warm-up@context=single,visible=0.5",
                "sfvr-warm-up@context=own,visible=0.75 > sfvr-warm-up@context=single,visible=0.75",
            ),
        ),
        Claim(
            name="own-context-is-worse-than-the-truth",
            text=("Trained on ground truth, a decoder predicts worse from its own codes than from true ones"),
            source="Section 3.2",
            metric="cross_entropy",
            order=(
                "vanilla@context=true,visible=0.25 < vanilla@context=own,visible=0.25",
                "vanilla@context=true,visible=0.5 < vanilla@context=own,visible=0.5",
                "vanilla@context=true,visible=0.75 < vanilla@context=own,visible=0.75",
            ),
        ),
        Claim(
            name="own-context-is-worse-than-none",
            text="Trained on ground truth, multi-step prediction is inferior to single-step prediction",
            source="Section 3.2",
            metric="cross_entropy",
            order="vanilla@context=single,visible=0.5 < vanilla@context=own,visible=0.5",
        ),
        Claim(
            name="sfvr-closes-the-exposure-gap",
            text="SFVR aligns training and inference: its own codes cost it less, against true ones",
            source="Section 3.2",
            metric="exposure_gap",
            order=(
                "sfvr-warm-up@visible=0.25 < vanilla@visible=0.25",
                "sfvr-warm-up@visible=0.5 < vanilla@visible=0.5",
                "sfvr-warm-up@visible=0.75 < vanilla@visible=0.75",
            ),
        ),
    ),
)
