"""The journal of a study: a file that every worker appends to, on any shared file system.

Whoever works on a trial holds a claim on it (`experiments.claims`). A trial that runs without a living claim
was left by a worker that died or was stopped: the next one who looks takes it over, with its parameters, so
no trial is lost or drawn twice. A worker that is stopped gives its claim up and one that is killed cannot, so
the kills of a trial are counted. Trials are handed out under a claim too, one at a time.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments import locks
from experiments.records.study_results import JOURNAL
from experiments.studies.sampling import draw, sampler
from experiments.study import MedianPruner, Study

POLL_SECONDS = 1.0

KILLED = "killed"
"""The attribute of a trial that counts the workers which were killed with it."""


class Journal:
    """The trials of one study, drawn and told through a file in `folder`; claims lie in `claims_folder`."""

    def __init__(self, study: Study, identity: str, folder: Path, claims_folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._study_config = study
        self._name = f"{folder.name}-{identity}"
        """Of its claims: values that change no trial, such as the device, give two journals one identity."""
        self._claims = claims_folder
        path = folder / JOURNAL
        lock = JournalFileOpenLock(str(path))
        mend(path, lock)
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path), lock_obj=lock)),
            study_name=f"{study.name}-{identity}",
            direction="minimize" if study.objective.lower_is_better else "maximize",
            sampler=sampler(study),
            pruner=_pruner(study),
            load_if_exists=True,
        )

    def trials(self) -> list[FrozenTrial]:
        """All trials as they stand, by number."""
        return self.study.get_trials(deepcopy=False)

    @contextlib.contextmanager
    def hand_out(self, budget: int, stopped: Callable[[], bool]) -> Iterator[Trial | None]:
        """A trial to work on within the block: one that was left, or a new one of `budget` in all.

        Waits while all that are left belong to living workers; None when every trial is over, or `stopped`.
        """
        with contextlib.ExitStack() as hold:
            trial, over = None, False
            while trial is None and not over and not stopped():
                with self.exclusive() as ours:
                    if ours:
                        trial, over = self._next(budget, hold)
                if trial is None and not over:
                    time.sleep(POLL_SECONDS)
            yield trial

    def exclusive(self) -> contextlib.AbstractContextManager[bool]:
        """Be the only one for a block who hands out trials or writes them down; False if another is."""
        return locks.lock(self._claims / f"study-{self._name}.json")

    def _next(self, budget: int, hold: contextlib.ExitStack) -> tuple[Trial | None, bool]:
        """A trial, claimed in `hold`; or none, and whether that is for good."""
        trials = self.trials()
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        for left in running:
            if trial := self._claimed(left, hold):
                return trial, False
        if len(trials) >= budget:
            return None, not running
        drawn = self.study.ask()
        claimed = self._claimed(self.trials()[drawn.number], hold)
        return claimed, False

    def _claimed(self, trial: FrozenTrial, hold: contextlib.ExitStack) -> Trial | None:
        """The trial with its parameters, if nobody alive works on it and it is still to be done."""
        attempt = contextlib.ExitStack()
        path = self._claims / f"trial-{self._name}-{trial.number}.json"
        killed = locks.is_stale(path)
        if not attempt.enter_context(locks.lock(path)):
            return None
        if self.trials()[trial.number].state is not TrialState.RUNNING:
            attempt.close()
            return None
        hold.push(attempt)
        ours = Trial(self.study, trial._trial_id)
        if killed:
            ours.set_user_attr(KILLED, ours.user_attrs.get(KILLED, 0) + 1)
        draw(ours, self._study_config)
        return ours


def mend(path: Path, lock: JournalFileOpenLock) -> None:
    """Cut off a line that a killed writer, or a full disk, left without its end: Optuna could not go on."""
    if not path.exists():
        return
    lock.acquire()
    try:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with path.open("r+b") as file:
                file.truncate(len(whole))
    finally:
        lock.release()


class RungMedian(BasePruner):
    """Prunes a trial whose value at its last rung is above the median of the complete trials there.

    Optuna's own median pruner asks for the best value of any rung so far, and a loss does not compare
    between rungs of different stages.
    """

    def __init__(self, config: MedianPruner):
        self._config = config

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to."""
        rung = trial.last_step
        if rung is None or rung <= self._config.warm_up_rungs:
            return False
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < self._config.startup_trials:
            return False
        there = [each.intermediate_values[rung] for each in complete if rung in each.intermediate_values]
        return bool(there) and trial.intermediate_values[rung] > statistics.median(there)


def _pruner(study: Study) -> BasePruner:
    return NopPruner() if study.pruner is None else RungMedian(study.pruner)
