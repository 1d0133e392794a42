"""A study shared by processes, some of which are killed: no trial lost, none made twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any, cast

from optuna.trial import TrialState
from searching import NO_DATA, a_journal, a_search, attempts, make

from experiments.executors import inline
from experiments.executors.stop import Stop
from experiments.store import CHECKPOINT, Store
from experiments.studies import journal as journals
from experiments.studies.search import ATTEMPTS, work
from experiments.tasks.base import Task


def worker(root: Path, budget: int, maker: Any) -> None:
    inline.find_maker = lambda kind: maker  # type: ignore[assignment]
    inline.POLL_SECONDS = journals.POLL_SECONDS = 0.02
    store, search = Store(root), a_search()
    work(search, a_journal(search, store), budget, store, NO_DATA, lambda trial, planned: [], Stop())


def started(store: Store, budget: int, maker: Any, count: int) -> list[Any]:
    context = multiprocessing.get_context("fork")
    found = [context.Process(target=worker, args=(store.root, budget, maker)) for _ in range(count)]
    for process in found:
        process.start()
    return found


def one_worker(store: Store, budget: int, maker: Any) -> int | None:
    (process,) = started(store, budget, maker, 1)
    process.join(60)
    return cast("int | None", process.exitcode)


def slowly(task: Task) -> dict[str, Any]:
    time.sleep(0.05)
    return make(task)


def test_workers_share_a_study(store: Store) -> None:
    processes = started(store, 12, slowly, 3)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    trials = a_journal(a_search(), store).trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert all(trial.state is TrialState.COMPLETE for trial in trials)
    assert len({trial.params["temperature"] for trial in trials}) == 12
    assert set(attempts(store).values()) == {1}


def die_once(task: Task) -> dict[str, Any]:
    """The first evaluation of all kills its process."""
    if task.artifact.kind == "evaluation":
        try:
            (task.folder.parents[1] / "died").touch(exist_ok=False)
        except FileExistsError:
            return make(task)
        os.kill(os.getpid(), signal.SIGKILL)
    return make(task)


def test_the_trial_of_a_killed_worker_is_taken_over(store: Store) -> None:
    (first,) = started(store, 4, die_once, 1)
    first.join(60)
    assert first.exitcode == -signal.SIGKILL
    (left,) = a_journal(a_search(), store).trials()
    assert left.state is TrialState.RUNNING
    processes = started(store, 4, die_once, 2)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    trials = a_journal(a_search(), store).trials()
    assert len(trials) == 4
    assert trials[0].params == left.params
    assert all(trial.state is TrialState.COMPLETE for trial in trials)


def die_in_the_first_trial(task: Task) -> dict[str, Any]:
    """Whoever evaluates what was evaluated first is killed, as by a trial that wants too much memory."""
    if task.artifact.kind == "evaluation":
        deadly = task.folder.parents[1] / "deadly"
        if not deadly.exists():
            deadly.write_text(task.artifact.name)
        if deadly.read_text() == task.artifact.name:
            os.kill(os.getpid(), signal.SIGKILL)
    return make(task)


def test_a_trial_that_kills_every_worker_fails_and_the_study_goes_on(store: Store) -> None:
    assert one_worker(store, 1, make) == 0, "what all trials have in common is there"
    for _ in range(ATTEMPTS):
        assert one_worker(store, 4, die_in_the_first_trial) == -signal.SIGKILL
    assert [trial.state for trial in a_journal(a_search(), store).trials()][1:] == [TrialState.RUNNING]
    assert one_worker(store, 4, die_in_the_first_trial) == 0
    first, deadly, *others = a_journal(a_search(), store).trials()
    assert deadly.state is TrialState.FAIL
    assert deadly.user_attrs["reason"].startswith("3 attempts were killed (by hand, or for want of memory)")
    assert [trial.state for trial in (first, *others)] == [TrialState.COMPLETE] * 3


def die_after_each_checkpoint(task: Task) -> dict[str, Any]:
    """A training that is killed again and again, but always with a step more behind it."""
    if task.artifact.kind == "stage":
        checkpoint = task.folder / CHECKPOINT
        step = len(checkpoint.read_text()) if checkpoint.exists() else 0
        if step < ATTEMPTS + 1:
            checkpoint.write_text("." * (step + 1))
            os.kill(os.getpid(), signal.SIGKILL)
    return make(task)


def test_a_killed_attempt_that_got_further_does_not_count(store: Store) -> None:
    kills = 0
    while one_worker(store, 1, die_after_each_checkpoint) == -signal.SIGKILL:
        kills += 1
    assert kills == 2 * (ATTEMPTS + 1), "both stages"
    assert [trial.state for trial in a_journal(a_search(), store).trials()] == [TrialState.COMPLETE]
