"""Reports a trial's training loss to the pruner at several rungs, and stops pruned trials.

It listens to the runner and reads the training logs in the store, so a rung has the same value whether the
stage is trained now, was resumed, or was already finished.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.artifacts import Artifact
from experiments.executors.events import Event, Progress
from experiments.executors.stop import Stop
from experiments.records.training_log import logged
from experiments.specs.study import MedianPruner
from experiments.store import Store


class RungMedian(BasePruner):
    """Prunes a trial whose loss at its last rung is above the median of the complete trials at that rung.

    Optuna's median pruner uses the best value of any rung so far, but losses of different stages are not
    comparable. It also treats a higher loss as better if the objective is maximized.
    """

    def __init__(self, config: MedianPruner):
        self._config = config

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to prune the trial."""
        rung = trial.last_step
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if rung is None or rung <= self._config.warm_up_rungs or len(complete) < self._config.startup_trials:
            return False
        there = [each.intermediate_values[rung] for each in complete if rung in each.intermediate_values]
        return bool(there) and trial.intermediate_values[rung] > statistics.median(there)


class TrialStop(Stop):
    """A request to stop one trial, because everything is to stop or the trial is pruned."""

    def __init__(self, every: Stop):
        super().__init__()
        self._every = every
        self.pruned = ""
        """Why the trial is pruned, if it is."""

    def requested(self) -> bool:
        """Whether everything is to stop or the trial is pruned."""
        return bool(self.pruned) or self._every.requested()

    def request(self) -> None:
        """Request everything to stop, after a signal."""
        self._every.request()


class Rungs:
    """A listener of the runner; `catch_up` reports stages that were trained elsewhere."""

    def __init__(
        self, trial: Trial, config: MedianPruner, stages: Sequence[Artifact], store: Store, stop: TrialStop
    ):
        self._trial, self._config, self._store, self._stop = trial, config, store, stop
        self._stages = tuple(stages)
        total = sum(stage.units for stage in stages)
        ends = (math.ceil(total * rung / config.rungs) for rung in range(1, config.rungs + 1))
        self._ends = [0, *dict.fromkeys(ends)]
        """The ends of the rungs in steps over all stages, preceded by the start."""
        self._reported = 0

    def __call__(self, event: Event) -> None:
        """Report the rungs that training has reached."""
        if isinstance(event, Progress):
            self._reach(event.artifact, event.done)

    def catch_up(self) -> None:
        """Report the rungs of the finished stages."""
        for stage in self._stages:
            if not self._store.is_done(stage):
                break
            self._reach(stage, stage.units)

    def _reach(self, artifact: Artifact, done: int) -> None:
        if artifact not in self._stages:
            return
        before = self._stages[: self._stages.index(artifact)]
        reached = sum(stage.units for stage in before) + done
        while not self._stop.pruned and self._reported + 1 < len(self._ends):
            start, end = self._ends[self._reported : self._reported + 2]
            if end > reached:
                return
            self._reported += 1
            self._report(self._reported, [value for step, value in self._curve() if start < step <= end])

    def _report(self, rung: int, values: list[float]) -> None:
        if not values:
            return
        mean = math.fsum(values) / len(values)
        try:
            self._trial.report(mean, rung)
        except UpdateFinishedTrialError:
            # This process was suspended, and another one has finished the trial. This is not an error of the
            # artifact.
            self._stop.pruned = "ended by another worker"
            return
        if self._trial.should_prune():
            self._stop.pruned = (
                f"{self._config.quantity} {mean:.4g} at rung {rung} of {len(self._ends) - 1} is above the "
                "median of the other trials"
            )

    def _curve(self) -> list[tuple[int, float]]:
        """Step, counted over all stages, and value of every line logged so far."""
        found, offset = [], 0
        for stage in self._stages:
            place = self._store.folder if self._store.is_done(stage) else self._store.work_folder
            found += [(offset + step, value) for step, value in logged(place(stage), self._config.quantity)]
            offset += stage.units
        return found
