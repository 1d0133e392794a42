"""A study shared by processes, some of which are killed: no trial lost, none made twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.trial import TrialState
from searching import Maker, a_journal, a_search, a_worker, attempts, make

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from experiments.executors import inline
from experiments.executors.process import VISIBLE_GPUS
from experiments.store import CHECKPOINT, Store
from experiments.studies import journal as journals
from experiments.studies.work import ATTEMPTS
from experiments.studies.workers import further_workers


def work(root: Path, budget: int, maker: Maker) -> None:
    inline.POLL_SECONDS = journals.POLL_SECONDS = 0.02
    a_worker(a_search(), Store(root), maker).work(budget)


def run(store: Store, budget: int, maker: Maker, number: int = 1) -> set[int | None]:
    """The exit codes of `number` processes that do trials until `budget` have ended."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(store.root, budget, maker)) for _ in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    return {process.exitcode for process in processes}


def states(store: Store) -> list[TrialState]:
    return [trial.state for trial in a_journal(a_search(), store).trials()]


def slowly(artifact: Artifact, context: Context) -> dict[str, Any]:
    time.sleep(0.05)
    return make(artifact, context)


def test_workers_share_a_study(store: Store) -> None:
    assert run(store, 12, slowly, number=3) == {0}
    trials = a_journal(a_search(), store).trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert states(store) == [TrialState.COMPLETE] * 12
    assert len({trial.params["temperature"] for trial in trials}) == 12
    assert set(attempts(store).values()) == {1}


def die_once(artifact: Artifact, context: Context) -> dict[str, Any]:
    """The first evaluation of all kills its process."""
    died = context.store.root / "died"
    if artifact.kind == "evaluation" and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make(artifact, context)


def test_the_trial_of_a_killed_worker_is_taken_over(store: Store) -> None:
    assert run(store, 4, die_once) == {-signal.SIGKILL}
    (left,) = a_journal(a_search(), store).trials()
    assert left.state is TrialState.RUNNING
    assert run(store, 4, die_once, number=2) == {0}
    assert states(store) == [TrialState.COMPLETE] * 4
    assert a_journal(a_search(), store).trials()[0].params == left.params


def die_in_the_first_trial(artifact: Artifact, context: Context) -> dict[str, Any]:
    """Whoever evaluates what was evaluated first is killed, as by a trial that needs too much memory."""
    if artifact.kind == "evaluation":
        deadly = context.store.root / "deadly"
        if not deadly.exists():
            deadly.write_text(artifact.name)
        if deadly.read_text() == artifact.name:
            os.kill(os.getpid(), signal.SIGKILL)
    return make(artifact, context)


def test_a_trial_that_kills_every_worker_fails_and_the_study_continues(store: Store) -> None:
    assert run(store, 1, make) == {0}, "what all trials have in common is finished"
    for _ in range(ATTEMPTS):
        assert run(store, 4, die_in_the_first_trial) == {-signal.SIGKILL}
    assert states(store)[1:] == [TrialState.RUNNING]
    assert run(store, 4, die_in_the_first_trial) == {0}
    assert states(store) == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    reason = a_journal(a_search(), store).trials()[1].user_attrs["reason"]
    assert reason.startswith("3 attempts were killed (by hand, or out of memory)")


def die_after_each_checkpoint(artifact: Artifact, context: Context) -> dict[str, Any]:
    """A training that is killed again and again, but each time one step further."""
    if artifact.kind == "stage":
        checkpoint = context.folder / CHECKPOINT
        step = len(checkpoint.read_text()) if checkpoint.exists() else 0
        if step < ATTEMPTS + 1:
            checkpoint.write_text("." * (step + 1))
            os.kill(os.getpid(), signal.SIGKILL)
    return make(artifact, context)


def test_a_killed_attempt_that_got_further_does_not_count(store: Store) -> None:
    kills = 0
    while run(store, 1, die_after_each_checkpoint) == {-signal.SIGKILL}:
        kills += 1
    assert kills == 2 * (ATTEMPTS + 1), "both stages"
    assert states(store) == [TrialState.COMPLETE]


PARENT = """
import pathlib, signal, sys, time
from experiments.studies.workers import further_workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
with further_workers(2, ["-c", sys.argv[1]], pathlib.Path(sys.argv[2])) as workers:
    time.sleep(600)
"""

WORKER = """
import time
from experiments.studies.workers import new_stop
stop = new_stop()
print("works", flush=True)
while not stop.requested():
    time.sleep(0.05)
print("stops", flush=True)
"""


@pytest.mark.parametrize(("number", "last"), [(signal.SIGKILL, "stops"), (signal.SIGINT, "works")])
def test_workers_stop_with_the_process_that_started_them(
    tmp_path: Path, number: signal.Signals, last: str
) -> None:
    """Killed, it can tell them nothing; stopped, it sends a signal, which ends these at once."""
    logs = [tmp_path / f"worker-{place}.log" for place in (1, 2)]
    command = [sys.executable, "-c", PARENT, WORKER, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as parent:
        assert all_end_with(logs, "works\n")
        parent.send_signal(number)
        parent.wait(60)
    assert all_end_with(logs, f"{last}\n"), [log.read_text() for log in logs]


def all_end_with(logs: list[Path], line: str) -> bool:
    """Whether every log ends with the line within a minute."""
    end = time.monotonic() + 60
    while not (ended := all(log.exists() and log.read_text().endswith(line) for log in logs)):
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    return ended


@pytest.mark.parametrize(
    ("visible", "count", "expected"),
    [
        (None, 0, [None, None]),
        (None, 1, ["0", "0"]),
        (None, 4, ["1", "2"]),
        ("3,1", 2, ["1", "3"]),
        ("GPU-a,GPU-b", 2, ["GPU-b", "GPU-a"]),
        ("2,-1,1", 1, ["2", "2"]),
        ("", 0, ["", ""]),
    ],
)
def test_each_further_worker_has_a_gpu_of_its_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    count: int,
    expected: list[str | None],
) -> None:
    monkeypatch.delenv(VISIBLE_GPUS, raising=False)
    if visible is not None:
        monkeypatch.setenv(VISIBLE_GPUS, visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    show = f"import os; print(os.environ.get({VISIBLE_GPUS!r}), 'PATH' in os.environ)"
    with further_workers(2, ["-c", show], tmp_path) as workers:
        pass
    assert [worker.log.read_text() for worker in workers] == [f"{gpu} True\n" for gpu in expected]
    assert os.environ.get(VISIBLE_GPUS) == visible, "this process keeps the first one, and sees all"


@pytest.mark.parametrize(
    ("end", "no_value", "died"),
    [
        ("pass", False, False),
        ("raise SystemExit(130)", False, False),
        ("raise SystemExit(1)", False, True),
        ("raise SystemExit(1)", True, False),
        ("import os; os.kill(os.getpid(), 9)", True, True),
    ],
)
def test_a_worker_that_failed_is_told_from_one_that_was_stopped(
    tmp_path: Path, end: str, no_value: bool, died: bool
) -> None:
    with further_workers(1, ["-c", end], tmp_path) as (worker,):
        pass
    assert worker.died(no_value) is died
