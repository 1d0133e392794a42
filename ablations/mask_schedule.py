"""Which mask schedule should stage 2 train with, and does it matter that the decoding has the same?

The paper follows MaskGIT, whose code draws training masks and reveals codes by the arccos. Here both are
searched. Nothing is pruned: a schedule that masks less has a lower loss without being a better one.

Command: `python -m experiments study mask-schedule`
Expected: six trainings at most, about five minutes each at the cpu profile; every pair is measured once.
"""

from experiments.specs import Choice, Sampler, Study

STUDY = Study(
    name="mask-schedule",
    title="Mask schedules of training and decoding",
    description="All pairs of the schedule of stage 2's masks and the schedule of the iterative decoding.",
    experiment="table4",
    row="ratio-1.0",
    space={
        "training schedule": Choice(
            keys=("stage2.mask_schedule",), choices=("arccos", "cosine", "linear", "square", "cubic", "sqrt")
        ),
        "decoding schedule": Choice(
            keys=("evaluation.schedule",), choices=("arccos", "cosine", "linear", "square", "cubic", "sqrt")
        ),
    },
    trials=36,
    sampler=Sampler(name="grid", seed=0),
)
