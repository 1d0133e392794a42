"""How should a trained tokenizer be decoded?

The study searches the temperature of the Gumbel noise, the schedule by which codes are revealed, and whether
the last step uses hard codes or the expectation of their embeddings. All trials decode the same tokenizer.

Command: `python -m experiments study sampling`
Expected: one tokenizer is trained; each trial then takes less than a minute at the cpu profile.
"""

from experiments.specs import Choice, FloatRange, Sampler, Study

STUDY = Study(
    name="sampling",
    title="Temperature, schedule and lookup of decoding",
    description=(
        "The row with replacement ratio 1.0 is trained once and decoded with different settings; "
        "only the evaluation differs between trials."
    ),
    experiment="table4",
    row="ratio-1.0",
    space={
        "temperature": FloatRange(keys=("evaluation.temperature",), low=0.0, high=6.0),
        "schedule": Choice(
            keys=("evaluation.schedule",), choices=("arccos", "cosine", "linear", "square", "cubic", "sqrt")
        ),
        "lookup": Choice(keys=("evaluation.final_lookup",), choices=("hard", "soft")),
    },
    trials=40,
    sampler=Sampler(name="tpe", seed=0, startup_trials=12),
    fixed_checkpoint=True,
)
