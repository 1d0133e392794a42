"""Which mask schedule should stage 2 train with, and should decoding use the same one?

The paper follows MaskGIT, whose code uses the arccos schedule both to draw training masks and to reveal
codes. Here both are searched. Nothing is pruned: a schedule that masks less has a lower loss without being
better.

Command: `python -m experiments study mask-schedule`
Expected: at most six training runs, about five minutes each at the cpu profile; every pair is measured once.
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
