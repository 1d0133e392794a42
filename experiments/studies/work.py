"""Runs the trials of a study, together with other processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from experiments.artifacts import Artifact
from experiments.executors.datasets import DataSets
from experiments.executors.events import Listener
from experiments.executors.inline import Runner
from experiments.executors.stop import Interrupted, Stop
from experiments.planning.plan import Plan
from experiments.store import Store, saved_files
from experiments.studies.journal import KILLED, Journal
from experiments.studies.rungs import Rungs, TrialStop
from experiments.studies.search import Search, TrialFailed
from sftok.config import ConfigError

ATTEMPTS = 3
"""Maximum number of attempts at a trial that may be killed at the same point."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that runs trials."""

    search: Search
    journal: Journal
    store: Store
    data: DataSets
    stop: Stop
    listeners: Callable[[Trial, Plan], Sequence[Listener]] = lambda trial, planned: ()
    """Returns the listeners for a trial's events."""

    def work(self, budget: int, after_trial: Callable[[], object] = lambda: None) -> None:
        """Run trials until `budget` of them have ended, calling `after_trial` after each.

        Raises:
            Interrupted: a stop was requested; the next worker resumes the trial.
            StoreError: the store is full, or one of its files is damaged.
        """
        while True:
            with self.stop.on_signals(), self.journal.hand_out(budget, self.stop.requested) as trial:
                if self.stop.requested():
                    raise Interrupted(f"stopped {self.search.study.name} between two trials")
                if trial is None:
                    return
                # Raised if this process was suspended for so long that another worker took over the trial.
                with contextlib.suppress(UpdateFinishedTrialError):
                    self._do(trial)
                after_trial()

    def _do(self, trial: Trial) -> None:
        stop = TrialStop(self.stop)
        value = None
        try:
            planned = self.search.plan(trial.params)
            trial.set_user_attr("evaluation", planned.rows[0].evaluation.name)
            self._refuse_what_kills(trial, planned)
            self._make(planned, trial, stop)
            value, extractor = self.search.value(planned, self.store)
            trial.set_user_attr("extractor", extractor)
            state = TrialState.COMPLETE
        except (TrialFailed, ConfigError) as error:
            trial.set_user_attr("reason", str(error))
            state = TrialState.FAIL
        except Interrupted:
            if not stop.pruned:
                raise
            trial.set_user_attr("reason", stop.pruned)
            state = TrialState.PRUNED
        self.journal.study.tell(trial, value, state, skip_if_finished=True)

    def _refuse_what_kills(self, trial: Trial, planned: Plan) -> None:
        """Fail a trial whose last attempts were killed without progress.

        An attempt that is killed after writing a checkpoint has made progress, so it does not count.

        Raises:
            TrialFailed: `ATTEMPTS` attempts were killed.
        """
        reached = self._reached(planned)
        if trial.user_attrs.get("reached") != reached:
            trial.set_user_attr("reached", reached)
            trial.set_user_attr(KILLED, 0)
        elif trial.user_attrs.get(KILLED, 0) >= ATTEMPTS:
            raise TrialFailed(f"{ATTEMPTS} attempts were killed (by hand, or out of memory) with no progress")

    def _reached(self, planned: Plan) -> list[int]:
        """Progress that survives a kill: the number of finished artifacts, and when a file was last saved."""
        left = [artifact for artifact in planned.artifacts if not self.store.is_done(artifact)]
        written = [0]
        for artifact in left:
            with contextlib.suppress(FileNotFoundError):
                written += [path.stat().st_mtime_ns for path in saved_files(self.store.work_folder(artifact))]
        return [len(planned.artifacts) - len(left), max(written)]

    def _make(self, planned: Plan, trial: Trial, stop: TrialStop) -> None:
        """Make the trial's artifacts; if trials are pruned, training comes first.

        Raises:
            TrialFailed: an artifact failed.
            Interrupted: the trial was pruned, or a stop was requested.
        """
        listeners = list(self.listeners(trial, planned))
        if self.search.study.pruner is not None:
            stages = [stage for stage in planned.rows[0].training if stage.kind == "stage"]
            rungs = Rungs(trial, self.search.study.pruner, stages, self.store, stop)
            listeners.append(rungs)
            rungs.catch_up()
            self._run([each for stage in stages for each in stage.with_inputs()], listeners, stop)
            rungs.catch_up()
        self._run(planned.artifacts, listeners, stop)

    def _run(self, artifacts: Sequence[Artifact], listeners: Sequence[Listener], stop: TrialStop) -> None:
        if stop.requested():
            raise Interrupted("stopped before an artifact")
        failures = Runner(self.store, self.data.load, listeners, stop).run(artifacts)
        for artifact, reason in failures.items():
            raise TrialFailed(f"{artifact.label} ({artifact.name}): {reason}")
