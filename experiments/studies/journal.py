"""The journal of a study: a file to which every worker appends, on any shared file system.

A worker locks its trial (`experiments.store.locks`). A running trial without a lock was left by a worker that
died or was stopped; the next worker takes it over with its parameters, so that no trial is lost or drawn
twice. A killed worker leaves a stale lock, by which the kills of a trial are counted. Trials are handed out
one at a time, also under a lock.

Optuna's own heartbeat and retry need a database, which is unsafe on a shared file system.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import NopPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.records.study_results import JOURNAL, TRIALS, read_study
from experiments.specs.study import Study
from experiments.store import StoreError, locks
from experiments.studies.rungs import RungMedian
from experiments.studies.sampling import draw, sampler
from experiments.studies.trials import from_records

POLL_SECONDS = 1.0

KILLED = "killed"
"""The attribute of a trial that counts the workers killed while running it."""


class Journal:
    """The trials of one study, in a file in `folder`, with locks in `locks_folder`.

    Raises:
        StoreError: a line of the file is damaged.
    """

    def __init__(self, study: Study, identity: str, folder: Path, locks_folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._spec = study
        # Studies that differ only in values without effect on trials, such as the device, share an identity.
        self._locks, self._name = locks_folder, f"{folder.name}-{identity}"
        file = _JournalFile(folder / JOURNAL)
        try:
            self.study = optuna.create_study(
                storage=JournalStorage(file),
                study_name=f"{study.name}-{identity}",
                direction="minimize" if study.objective.lower_is_better else "maximize",
                sampler=sampler(study),
                pruner=RungMedian(study.pruner) if study.pruner else NopPruner(),
                load_if_exists=True,
            )
        except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise file.damaged(repr(error)) from None
        self._restore(folder / TRIALS, identity)

    def trials(self) -> list[FrozenTrial]:
        """The current state of all trials, by number."""
        return self.study.get_trials(deepcopy=False)

    @contextlib.contextmanager
    def hand_out(self, budget: int, stopped: Callable[[], bool]) -> Iterator[Trial | None]:
        """A trial to run within the block: an abandoned one, or a new one if there are fewer than `budget`.

        Waits while other workers are running all that remain. Yields None once every trial has ended, or if
        `stopped`.
        """
        with contextlib.ExitStack() as held:
            trial, ended = None, False
            while trial is None and not ended and not stopped():
                with self.exclusive() as ours:
                    if ours:
                        trial, ended = self._next(budget, held)
                if trial is None and not ended:
                    time.sleep(POLL_SECONDS)
            yield trial

    def exclusive(self) -> contextlib.AbstractContextManager[bool]:
        """The lock for handing out and recording trials; yields False if another process holds it."""
        return locks.lock(self._locks / f"study-{self._name}.json")

    def _next(self, budget: int, held: contextlib.ExitStack) -> tuple[Trial | None, bool]:
        """A trial locked in `held`, or None, and whether all trials have ended."""
        trials = self.trials()
        running = [trial for trial in trials if trial.state is TrialState.RUNNING]
        for left in running:
            if trial := self._take(left, held):
                return trial, False
        if len(trials) >= budget:
            return None, not running
        drawn = self.study.ask()
        return self._take(self.trials()[drawn.number], held), False

    def _take(self, trial: FrozenTrial, held: contextlib.ExitStack) -> Trial | None:
        """Lock the trial and draw its parameters; None if a live worker is running it or it has ended."""
        attempt = contextlib.ExitStack()
        path = self._locks / f"trial-{self._name}-{trial.number}.json"
        killed = locks.is_stale(path)
        if not attempt.enter_context(locks.lock(path)):
            return None
        if self.trials()[trial.number].state is not TrialState.RUNNING:
            attempt.close()
            return None
        held.push(attempt)
        ours = Trial(self.study, trial._trial_id)
        if killed:
            ours.set_user_attr(KILLED, ours.user_attrs.get(KILLED, 0) + 1)
        draw(ours, self._spec)
        return ours

    def _restore(self, path: Path, identity: str) -> None:
        """Add trials that only the record has, after a damaged journal was deleted."""
        with contextlib.suppress(StoreError):
            record = read_study(path)
            while record and record.identity == identity and len(self.trials()) < len(record.trials):
                with self.exclusive() as ours:
                    if ours:
                        self.study.add_trials(from_records(record)[len(self.trials()) :])


class _JournalFile(JournalFileBackend):
    """Optuna's journal file, with errors that name damaged lines."""

    def __init__(self, path: Path):
        self._path, self._line = path, 0
        lock = JournalFileOpenLock(str(path))
        mend(path, lock)
        super().__init__(str(path), lock_obj=lock)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from number `log_number_from` on.

        Raises:
            StoreError: a line is damaged.
        """
        self._line = log_number_from
        try:
            for entry in super().read_logs(log_number_from):
                self._line += 1
                yield entry
        except ValueError as error:
            self._line += 1
            raise self.damaged(str(error)) from None

    def damaged(self, why: str) -> StoreError:
        """The error for the line that was read last."""
        return StoreError(
            f"{self._path}: line {self._line} is damaged ({why}); delete the file while no worker is "
            f"running, and run the study again, which restores the trials from {TRIALS}"
        )


def mend(path: Path, lock: JournalFileOpenLock) -> None:
    """Remove partial last lines, left by a killed writer or a full disk, to which Optuna would append."""
    if not path.exists():
        return
    lock.acquire()
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        size = sum(map(len, lines))
        while lines and not _is_whole(lines[-1]):
            size -= len(lines.pop())
        with path.open("r+b") as file:
            file.truncate(size)
    finally:
        lock.release()


def _is_whole(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
