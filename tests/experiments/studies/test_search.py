"""Trials through the journal and the store: none lost, none repeated, pruned and failed ones kept."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from optuna.storages.journal import JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from experiments.paper import table4
from experiments.profiles import PROFILES
from experiments.records.study_results import JOURNAL, stored_studies
from experiments.running import runner
from experiments.running.datasets import DataSets
from experiments.running.stop import Interrupted, Stop
from experiments.store import CHECKPOINT, METRICS, Store
from experiments.studies import journal as journals
from experiments.studies.journal import Journal, mend
from experiments.studies.rungs import logged
from experiments.studies.search import ATTEMPTS, SPLIT, Search, work
from experiments.studies.writing import write_record
from experiments.study import Choice, FloatRange, MedianPruner, Sampler, Study
from experiments.tasks.base import Task
from sftok.training.loop import TrainingInterrupted

NO_DATA = cast(DataSets, type("NoData", (), {"load": None})())
TEMPERATURE = FloatRange(keys=("evaluation.temperature",), low=0.0, high=4.0)
RATE = FloatRange(keys=("stage2.training.optimisation.learning_rate",), low=1e-3, high=1e-1, log=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.02)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


def a_search(**changes: Any) -> Search:
    values: dict[str, Any] = {
        "name": "tiny",
        "title": "t",
        "description": "d",
        "experiment": "table4",
        "row": "ratio-1.0",
        "space": {"temperature": TEMPERATURE},
        "trials": 6,
        "sampler": Sampler(startup_trials=3),
    }
    return Search(
        study=Study(**(values | changes)),
        experiment=table4.EXPERIMENT,
        profile=PROFILES["smoke"],
        overrides={},
        fingerprints={"train": "a", SPLIT: "b"},
    )


def a_journal(search: Search, store: Store) -> Journal:
    return Journal(search.study, search.identity(), store.root / "studies" / "tiny", store.root / "claims")


def measured(task: Task, value: float) -> dict[str, Any]:
    row = {"subject": "tokenizer", "metric": "rfid", "steps": 8, "extractor": "classifier", "value": value}
    return {"rows": [row]}


def make(task: Task) -> dict[str, Any]:
    """The objective is the distance of the temperature from 1."""
    with (task.folder.parents[1] / "attempts").open("a") as log:
        log.write(f"{task.artifact.name}\n")
    if task.artifact.kind != "evaluation":
        return {}
    return measured(task, abs(task.config["protocol"]["temperature"] - 1))


def search_with(
    maker: Any, search: Search, store: Store, monkeypatch: pytest.MonkeyPatch, budget: int = 6
) -> list[FrozenTrial]:
    monkeypatch.setattr(runner, "find_maker", lambda kind: maker)
    journal = a_journal(search, store)
    work(search, journal, budget, store, NO_DATA, lambda trial, planned: [], Stop())
    return journal.trials()


def drawn(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    return [trial.params for trial in trials]


def attempts(store: Store) -> Counter[str]:
    return Counter((store.root / "attempts").read_text().split())


def test_trials_are_ordinary_artifacts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search()
    trials = search_with(make, search, store, monkeypatch)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    for trial in trials:
        assert trial.value == abs(trial.params["temperature"] - 1)
        assert store.is_done(search.plan(trial.params).rows[0].evaluation)
    assert set(attempts(store).values()) == {1}
    assert not list((store.root / "claims").iterdir())


def test_seeds_give_the_same_proposals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(folder: str, seed: int) -> list[dict[str, Any]]:
        store = Store(tmp_path / folder)
        store.prepare()
        search = a_search(sampler=Sampler(startup_trials=3, seed=seed))
        return drawn(search_with(make, search, store, monkeypatch))

    assert of("a", 0) == of("b", 0)
    assert of("c", 1) != of("a", 0)
    assert len({trial["temperature"] for trial in of("a", 0)}) == 6


def test_an_interrupted_study_is_the_same_study(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Store(tmp_path / "whole")
    whole.prepare()
    search = a_search()
    expected = search_with(make, search, whole, monkeypatch)

    stop = Stop()
    monkeypatch.setattr(runner, "find_maker", lambda kind: make)
    calls = []

    def stop_the_third() -> None:
        calls.append(1)
        if len(calls) == 3:
            stop.request()

    journal = a_journal(search, store)
    with pytest.raises(Interrupted):
        work(search, journal, 6, store, NO_DATA, lambda trial, planned: [], stop, told=stop_the_third)
    assert len(journal.trials()) == 3
    trials = search_with(make, search, store, monkeypatch)
    assert [(each.params, each.value) for each in trials] == [(each.params, each.value) for each in expected]


def test_a_trial_that_is_stopped_in_its_middle_is_gone_on_with(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(task: Task) -> dict[str, Any]:
        raise TrainingInterrupted("a signal came")

    search = a_search()
    with pytest.raises(Interrupted):
        search_with(stopped, search, store, monkeypatch)
    (left,) = a_journal(search, store).trials()
    assert left.state is TrialState.RUNNING
    trials = search_with(make, search, store, monkeypatch)
    assert len(trials) == 6
    assert trials[0].params == left.params


def test_failed_trials_are_kept_with_their_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_above_two(task: Task) -> dict[str, Any]:
        if task.artifact.kind == "evaluation" and task.config["protocol"]["temperature"] > 2:
            raise ValueError("too hot")
        return make(task)

    search = a_search()
    trials = search_with(fail_above_two, search, store, monkeypatch, budget=8)
    failed = [trial for trial in trials if trial.params["temperature"] > 2]
    assert failed
    assert len(trials) == 8
    for trial in trials:
        assert (trial.state is TrialState.FAIL) == (trial in failed)
    assert all("ValueError: too hot" in trial.user_attrs["reason"] for trial in failed)
    # They are over: the same command draws nothing anew.
    assert len(search_with(make, search, store, monkeypatch, budget=8)) == 8


def test_a_value_that_is_no_number_fails_the_trial(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def nan(task: Task) -> dict[str, Any]:
        return measured(task, float("nan")) if task.artifact.kind == "evaluation" else {}

    (trial,) = search_with(nan, a_search(), store, monkeypatch, budget=1)
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs["reason"] == "rfid is nan"


def train(task: Task) -> dict[str, Any]:
    """A training whose loss is its learning rate, looked at after every step."""
    if task.artifact.kind == "stage":
        rate = task.config["training"]["optimisation"]["learning_rate"]
        for step in range(1, task.artifact.steps + 1):
            task.monitor.record({"step": step, "reconstruction_loss": rate})
            task.monitor.progress(step, task.artifact.steps)
            if task.monitor.should_stop() and step < task.artifact.steps:
                raise TrainingInterrupted("stopped")
        return {}
    return measured(task, 1.0) if task.artifact.kind == "evaluation" else {}


def test_pruned_trials_are_kept_with_their_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pruner = MedianPruner(rungs=6, startup_trials=2, warm_up_rungs=2)
    search = a_search(space={"rate": RATE}, pruner=pruner, sampler=Sampler(name="random"))
    trials = search_with(train, search, store, monkeypatch, budget=10)
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    assert len(pruned) + len(complete) == 10
    assert pruned
    assert complete[:2] == trials[:2], "the first ones show what is usual"
    for trial in pruned:
        assert "above the median" in trial.user_attrs["reason"]
        assert not store.is_done(search.plan(trial.params).rows[0].evaluation)
        rung, value = max(trial.intermediate_values.items())
        earlier = [each for each in complete if each.number < trial.number]
        assert value > statistics.median(each.intermediate_values[rung] for each in earlier)
    for trial in complete:
        assert sorted(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]


def test_trainings_that_are_there_are_pruned_alike(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second study over the same artifacts decides as the first one did."""
    pruner = MedianPruner(rungs=3, startup_trials=2, warm_up_rungs=0)
    settings = {"space": {"rate": RATE}, "pruner": pruner, "sampler": Sampler(name="random")}
    first = search_with(train, a_search(**settings), store, monkeypatch, budget=6)

    def nothing_new(task: Task) -> dict[str, Any]:
        assert task.artifact.kind == "stage", "only what was pruned before is not there"
        return train(task)

    again = search_with(nothing_new, a_search(name="again", **settings), store, monkeypatch, budget=6)
    assert [each.state for each in again] == [each.state for each in first]
    assert [each.intermediate_values for each in again] == [each.intermediate_values for each in first]


def test_a_torn_line_of_a_curve_is_no_rung(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text(
        '{"step": 10, "loss": 2.0}\n{"step": 20, "lo\n{"step": 30, "loss": 1.0}\n'
    )
    assert logged(tmp_path, "loss") == [(10, 2.0), (30, 1.0)]
    assert logged(tmp_path / "nothing", "loss") == []


def slowly(task: Task) -> dict[str, Any]:
    time.sleep(0.05)
    return make(task)


def worker(root: Path, budget: int, maker: Any) -> None:
    runner.find_maker = lambda kind: maker  # type: ignore[assignment]
    runner.POLL_SECONDS = journals.POLL_SECONDS = 0.02
    store, search = Store(root), a_search()
    work(search, a_journal(search, store), budget, store, NO_DATA, lambda trial, planned: [], Stop())


def started(store: Store, budget: int, maker: Any, count: int) -> list[Any]:
    context = multiprocessing.get_context("fork")
    found = [context.Process(target=worker, args=(store.root, budget, maker)) for _ in range(count)]
    for process in found:
        process.start()
    return found


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


def test_studies_of_one_identity_in_two_folders_do_not_wait_for_each_other(store: Store) -> None:
    """As with values that change no trial, such as the device."""
    search = a_search()
    folders = [store.root / "studies" / name for name in ("plain", "other")]
    one, other = (Journal(search.study, search.identity(), each, store.root / "claims") for each in folders)
    never = Stop().requested
    with one.hand_out(2, never) as first, other.hand_out(2, never) as second:
        assert first is not None
        assert second is not None
        assert (first.number, second.number) == (0, 0)


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


def one_worker(store: Store, budget: int, maker: Any) -> int | None:
    (process,) = started(store, budget, maker, 1)
    process.join(60)
    return cast("int | None", process.exitcode)


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


def test_a_trial_may_be_stopped_as_often_as_one_likes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(task: Task) -> dict[str, Any]:
        raise TrainingInterrupted("a signal came")

    for _ in range(ATTEMPTS + 2):
        with pytest.raises(Interrupted):
            search_with(stopped, a_search(), store, monkeypatch, budget=1)
    (trial,) = search_with(make, a_search(), store, monkeypatch, budget=1)
    assert trial.state is TrialState.COMPLETE


def test_a_torn_line_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search()
    before = search_with(make, search, store, monkeypatch, budget=2)
    path = store.root / "studies" / "tiny" / JOURNAL
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x')
    trials = search_with(make, search, store, monkeypatch, budget=3)
    assert drawn(trials)[:2] == drawn(before)
    assert len(trials) == 3
    assert path.read_bytes().startswith(whole)
    mend(path, JournalFileOpenLock(str(path)))
    assert len(a_journal(search, store).trials()) == 3


def test_a_grid_measures_every_pair_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {
        "lookup": Choice(keys=("evaluation.final_lookup",), choices=("hard", "soft")),
        "schedule": Choice(keys=("evaluation.schedule",), choices=("arccos", "linear", "sqrt")),
    }
    search = a_search(space=space, sampler=Sampler(name="grid", seed=3))
    trials = search_with(make, search, store, monkeypatch)
    assert len({tuple(trial.params.items()) for trial in trials}) == 6


def test_the_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search()
    trials = search_with(make, search, store, monkeypatch)
    journal = a_journal(search, store)
    folder = store.root / "studies" / "tiny"
    write_record(search, journal, folder, 6, "data", "a command", ["--store", "somewhere"])
    (record,) = stored_studies(store.root)
    best = min(trials, key=lambda trial: cast(float, trial.value))
    assert record.best == best.number
    assert record.overlay == {"evaluation.temperature": best.params["temperature"]}
    assert record.best_command.startswith("python -m experiments run table4 --profile smoke --overlay ")
    assert record.extractor == "classifier"
    assert record.importance == {"temperature": 1.0}
    assert [trial.value for trial in record.trials] == [trial.value for trial in trials]
