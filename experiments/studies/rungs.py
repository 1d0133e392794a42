"""Reports a trial's training to the pruner, at a few rungs, and stops it where the pruner says so.

It listens to the runner and reads the training logs of the store; so a rung has the same value whether the
stage is trained now, was resumed, or had been there all along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial

from experiments.artifacts import Artifact
from experiments.executors.events import Event, Progress
from experiments.executors.stop import Stop
from experiments.records.training_log import logged
from experiments.store import Store
from experiments.study import MedianPruner


class TrialStop(Stop):
    """A request to stop one trial: by a signal, as all of them, or because it is not worth its time."""

    def __init__(self, signals: Stop):
        super().__init__()
        self._signals = signals
        self.pruned = ""
        """Why the trial is pruned, if it is."""

    def requested(self) -> bool:
        """True once a signal asked or the trial was pruned."""
        return bool(self.pruned) or self._signals.requested()

    def request(self) -> None:
        """Ask all to stop: a signal came."""
        self._signals.request()


class Rungs:
    """A listener of the runner; what others train is reported once it is there, by `catch_up`."""

    def __init__(
        self, trial: Trial, config: MedianPruner, stages: Sequence[Artifact], store: Store, stop: TrialStop
    ):
        self._trial, self._config, self._store, self._stop = trial, config, store, stop
        self._stages = tuple(stages)
        total = sum(stage.steps for stage in stages)
        ends = (math.ceil(total * rung / config.rungs) for rung in range(1, config.rungs + 1))
        self._ends = [0, *dict.fromkeys(ends)]
        """Where a rung ends, in steps of all stages together; the first is the start."""
        self._told = 0

    def catch_up(self) -> None:
        """Report what the stages have reached that this process did not train itself."""
        for stage in self._stages:
            if not self._store.is_done(stage):
                break
            self._reach(stage, stage.steps)

    def __call__(self, event: Event) -> None:
        """Report the rungs that are reached."""
        if isinstance(event, Progress):
            self._reach(event.artifact, event.done)

    def _reach(self, artifact: Artifact, done: int) -> None:
        if artifact not in self._stages:
            return
        before = self._stages[: self._stages.index(artifact)]
        reached = sum(stage.steps for stage in before) + done
        while not self._stop.pruned and self._told + 1 < len(self._ends):
            start, end = self._ends[self._told : self._told + 2]
            if end > reached:
                return
            self._told += 1
            self._report(self._told, [value for step, value in self._curve() if start < step <= end])

    def _report(self, rung: int, values: list[float]) -> None:
        if not values:
            return
        mean = math.fsum(values) / len(values)
        try:
            self._trial.report(mean, rung)
        except UpdateFinishedTrialError:
            # This worker slept, and another one has done the trial. No error, which the artifact would keep.
            self._stop.pruned = "ended by another worker"
            return
        if self._trial.should_prune():
            self._stop.pruned = (
                f"{self._config.quantity} {mean:.4g} at rung {rung} of {len(self._ends) - 1} is above the "
                "median of the other trials"
            )

    def _curve(self) -> list[tuple[int, float]]:
        """Step, over all stages, and value of every line that is logged so far."""
        found, offset = [], 0
        for stage in self._stages:
            folder = (
                self._store.folder(stage) if self._store.is_done(stage) else self._store.work_folder(stage)
            )
            found += [(offset + step, value) for step, value in logged(folder, self._config.quantity)]
            offset += stage.steps
        return found
