"""Should the context in training be the most likely predictions or sampled ones?

During decoding the visible codes are samples, while SFVR trains on the most likely ones.

Command: `python -m experiments run contexts`
Expected: after `run table4` the cpu profile takes about five minutes more on two cores.
"""

from experiments.specs import Claim, Experiment, Row

EXPERIMENT = Experiment(
    name="contexts",
    kind="ablation",
    title="Most likely and sampled predictions as context",
    source="Section 3.2",
    description="Both rows share the teacher, the warm-up and every setting but the context of stage 2.",
    rows=(
        Row(name="ratio-1.0", as_in="table4", label="Most likely (SFVR)", published={}),
        Row(name="sampled", label="Sampled", overrides={"stage2.context": {"name": "sampled"}}),
    ),
    claims=(
        Claim(
            name="sampling-helps",
            text="A context that is sampled as in decoding trains a better decoder",
            source="our own question, not one of the paper",
            order="sampled@8 < ratio-1.0@8",
        ),
    ),
)
