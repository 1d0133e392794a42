"""Trials through the journal and the store: none lost, none repeated, failed ones kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from searching import NO_DATA, a_journal, a_search, attempts, drawn, make, measured, search_with

from experiments.executors import inline
from experiments.executors.stop import Interrupted, Stop
from experiments.store import Store
from experiments.studies.search import ATTEMPTS, work
from experiments.study import Choice, Sampler
from experiments.tasks.base import Task
from sftok.config import ConfigError
from sftok.training.loop import TrainingInterrupted


def test_trials_are_ordinary_artifacts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    search = a_search()
    trials = search_with(make, search, store, monkeypatch)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    for trial in trials:
        assert trial.value == abs(trial.params["temperature"] - 1)
        assert store.is_done(search.plan(trial.params).rows[0].evaluation)
    assert set(attempts(store).values()) == {1}
    assert not list((store.root / "locks").iterdir())


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
    monkeypatch.setattr(inline, "find_maker", lambda kind: make)
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


def test_a_trial_may_be_stopped_as_often_as_one_likes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(task: Task) -> dict[str, Any]:
        raise TrainingInterrupted("a signal came")

    for _ in range(ATTEMPTS + 2):
        with pytest.raises(Interrupted):
            search_with(stopped, a_search(), store, monkeypatch, budget=1)
    (trial,) = search_with(make, a_search(), store, monkeypatch, budget=1)
    assert trial.state is TrialState.COMPLETE


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


def test_a_grid_measures_every_pair_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    space = {
        "lookup": Choice(keys=("evaluation.final_lookup",), choices=("hard", "soft")),
        "schedule": Choice(keys=("evaluation.schedule",), choices=("arccos", "linear", "sqrt")),
    }
    search = a_search(space=space, sampler=Sampler(name="grid", seed=3))
    trials = search_with(make, search, store, monkeypatch)
    assert len({tuple(trial.params.items()) for trial in trials}) == 6


def test_a_trial_keeps_what_its_row_is_and_measures_what_the_study_asks(store: Store) -> None:
    planned = a_search(row="ratio-0.5").plan({"temperature": 2.0})
    alignment = planned.rows[0].training[-1]
    assert alignment.config["alignment"]["replacement_ratio"] == 0.5
    protocol = planned.rows[0].evaluation.config["protocol"]
    assert (protocol["split"], protocol["steps"], protocol["temperature"]) == ("validation", [8], 2.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evaluation.split", "test"),
        ("evaluation.steps", [1]),
        ("evaluation.extractors", [{"name": "classifier"}]),
    ],
)
def test_what_the_study_measures_cannot_be_set(key: str, value: Any) -> None:
    search = dataclasses.replace(a_search(), overrides={key: value})
    with pytest.raises(ConfigError, match=f"{key} is part of what the study tiny measures"):
        search.plan({"temperature": 2.0})
