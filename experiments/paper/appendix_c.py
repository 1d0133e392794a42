"""Appendix C: the theory of multi-step prediction, measured.

Paper: Section 3.2, equations 2 to 4, and Appendix C: given other codes, a code's cross-entropy can be lower
(C.1) and its top-1 accuracy higher (C.2) than given the tokens alone. The paper measures none of it. Its
context is "the predicted values"; what training on ground truth shows is the true ones, and both are measured
here, on the same masked positions. Two controls tell information from computation: a second pass over the
whole own prediction, and a decoder of twice the layers that predicts in one pass, as much computing as two.

Command: `python -m experiments run appendix_c`
Expected: after `run table3` two tokenizers are new, about 10 minutes a seed at the cpu profile; the
single-step one is also the start of `table1`'s TiTok-B.
"""

from experiments.specs import Experiment, Row, read_claims

_SINGLE_STEP = {"stage1.steps": "all", "evaluation.steps": [1]}

EXPERIMENT = Experiment(
    name="appendix_c",
    kind="table",
    title="What a context is worth",
    source="Appendix C, Section 3.2",
    description=(
        "Cross-entropy, top-1 accuracy and its bound at masked positions, where the visible ones show "
        "nothing, the teacher's codes, or the decoder's own first-step prediction. Single-step rows never "
        "saw a visible code in training, so only their prediction without context is measured."
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
    claims=read_claims("experiments.paper", "appendix_c"),
)
