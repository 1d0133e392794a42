"""Which learning rate and weight decay suit the small tokenizer?

Table 6 of the paper has 1e-4 and 1e-4 for SFTok-B at 256x256; a model of half a million parameters on small
images may need other values. Both are searched for stages 1 and 2 together. A trial is pruned when its loss
on the teacher's codes exceeds the median of the other trials at the same step; all trials use the same loss.

Command: `python -m experiments study learning-rate`
Expected: each trial at the cpu profile trains a new tokenizer, in about five minutes on two cores.
"""

from experiments.specs import FloatRange, MedianPruner, Sampler, Study

STUDY = Study(
    name="learning-rate",
    title="Learning rate and weight decay",
    description=(
        "The peak learning rate and the weight decay, the same for stages 1 and 2; the schedule and the "
        "final learning rate are those of the profile."
    ),
    experiment="table4",
    row="ratio-1.0",
    space={
        "learning rate": FloatRange(
            keys=("stage1.training.optimizer.learning_rate", "stage2.training.optimizer.learning_rate"),
            low=5e-4,
            high=1e-2,
            log=True,
        ),
        "weight decay": FloatRange(
            keys=("stage1.training.optimizer.weight_decay", "stage2.training.optimizer.weight_decay"),
            low=1e-5,
            high=1e-1,
            log=True,
        ),
    },
    trials=24,
    sampler=Sampler(name="tpe", seed=0, startup_trials=8),
    pruner=MedianPruner(rungs=8, startup_trials=4, warm_up_rungs=2),
)
