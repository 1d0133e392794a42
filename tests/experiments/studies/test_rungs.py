"""Trials that are ended early, because of their training curves."""

from __future__ import annotations

import statistics
from typing import Any, cast

import pytest
from optuna.trial import TrialState
from searching import RATE, a_journal, a_search, measured, search_with

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from experiments.specs.study import MedianPruner, Sampler
from experiments.store import Store
from experiments.studies.search import Search
from sftok.training.interruption import TrainingInterrupted


def a_pruned_search(**changes: Any) -> Search:
    pruner = MedianPruner(rungs=3, startup_trials=2, warm_up_rungs=0)
    return a_search(
        **{"space": {"rate": RATE}, "pruner": pruner, "sampler": Sampler(name="random")} | changes
    )


def train(artifact: Artifact, context: Context) -> dict[str, Any]:
    """A training whose loss is its learning rate, and which may stop after every step."""
    if artifact.kind == "stage":
        rate = cast(Any, artifact).training.optimizer.learning_rate
        for step in range(1, artifact.units + 1):
            context.monitor.record({"step": step, "reconstruction_loss": rate})
            context.monitor.progress(step, artifact.units)
            if context.monitor.should_stop() and step < artifact.units:
                raise TrainingInterrupted("stopped")
        return {}
    return measured(1.0) if artifact.kind == "evaluation" else {}


def test_pruned_trials_are_kept_with_their_reason(store: Store) -> None:
    search = a_pruned_search(pruner=MedianPruner(rungs=6, startup_trials=2, warm_up_rungs=2))
    trials = search_with(train, search, store, budget=10)
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


def test_finished_trainings_are_pruned_alike(store: Store) -> None:
    """A second study over the same artifacts decides as the first one did."""
    first = search_with(train, a_pruned_search(), store)

    def nothing_new(artifact: Artifact, context: Context) -> dict[str, Any]:
        assert artifact.kind == "stage", "only what was pruned before is missing"
        return train(artifact, context)

    again = search_with(nothing_new, a_pruned_search(name="again"), store)
    assert [each.state for each in again] == [each.state for each in first]
    assert [each.intermediate_values for each in again] == [each.intermediate_values for each in first]


@pytest.mark.parametrize("changes", [{"pruner": None}, {}])
def test_a_trial_that_another_worker_ended_is_left_alone(store: Store, changes: dict[str, Any]) -> None:
    search = a_pruned_search(**changes)
    ended: list[int] = []

    def overtaken(artifact: Artifact, context: Context) -> dict[str, Any]:
        """Of the first trial: while this worker was suspended in its training, another one has done it."""
        if artifact.kind == "stage" and not ended:
            other = a_journal(search, store)
            ended.append(other.trials()[0].number)
            other.study.tell(ended[0], 7.0)
        return train(artifact, context)

    first, second = search_with(overtaken, search, store, budget=2)
    assert (first.state, first.value) == (TrialState.COMPLETE, 7.0)
    assert second.state is TrialState.COMPLETE
    planned = search.plan(first.params).artifacts
    assert not any(store.failure(artifact) for artifact in planned)


@pytest.mark.parametrize(("rung", "pruned"), [(1, False), (2, False), (3, True)])
def test_nothing_is_pruned_during_the_warm_up(store: Store, rung: int, pruned: bool) -> None:
    """And a loss is a loss, also where the objective is maximized."""
    pruner = MedianPruner(rungs=4, startup_trials=1, warm_up_rungs=2)
    study = a_journal(a_pruned_search(pruner=pruner, objective={"lower_is_better": False}), store).study
    usual = study.ask()
    for each in range(1, 5):
        usual.report(1.0, each)
    study.tell(usual, 1.0)
    worse = study.ask()
    worse.report(0.1, 0)
    worse.report(2.0, rung)
    assert worse.should_prune() is pruned
