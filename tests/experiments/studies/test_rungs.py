"""Trials that are ended early, for what their training curve showed."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from optuna.trial import TrialState
from searching import a_journal, a_search, measured, search_with

from experiments.store import Store
from experiments.study import FloatRange, MedianPruner, Sampler
from experiments.tasks.base import Task
from sftok.training.loop import TrainingInterrupted

RATE = FloatRange(keys=("stage2.training.optimisation.learning_rate",), low=1e-3, high=1e-1, log=True)


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


@pytest.mark.parametrize("pruner", [None, MedianPruner(rungs=3, startup_trials=2, warm_up_rungs=0)])
def test_a_trial_that_another_worker_ended_is_left_to_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, pruner: MedianPruner | None
) -> None:
    search = a_search(space={"rate": RATE}, pruner=pruner, sampler=Sampler(name="random"))
    ended: list[int] = []

    def overtaken(task: Task) -> dict[str, Any]:
        """Of the first trial: while this worker slept in its training, another one has done it."""
        if task.artifact.kind == "stage" and not ended:
            other = a_journal(search, store)
            ended.append(other.trials()[0].number)
            other.study.tell(ended[0], 7.0)
        return train(task)

    first, second = search_with(overtaken, search, store, monkeypatch, budget=2)
    assert (first.state, first.value) == (TrialState.COMPLETE, 7.0)
    assert second.state is TrialState.COMPLETE
    planned = search.plan(first.params).artifacts
    assert not any(store.failure(artifact) for artifact in planned)


@pytest.mark.parametrize(("rung", "pruned"), [(1, False), (2, False), (3, True)])
def test_nothing_is_pruned_before_the_warm_up_is_over(store: Store, rung: int, pruned: bool) -> None:
    pruner = MedianPruner(rungs=4, startup_trials=1, warm_up_rungs=2)
    study = a_journal(a_search(space={"rate": RATE}, pruner=pruner), store).study
    usual = study.ask()
    for each in range(1, 5):
        usual.report(1.0, each)
    study.tell(usual, 1.0)
    worse = study.ask()
    worse.report(2.0, rung)
    assert worse.should_prune() is pruned
