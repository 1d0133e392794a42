"""Trials through the journal and the store: none lost, none repeated, failed ones kept."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from optuna.trial import TrialState
from searching import a_search, a_worker, attempts, drawn, make, measured, record_of, search_with, temperature

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from experiments.executors.stop import Interrupted
from experiments.records.study_results import stored_studies
from experiments.specs.registry import Registry
from experiments.specs.study import Choice, Sampler
from experiments.store import Store
from experiments.studies.work import ATTEMPTS
from experiments.studies.workers import copy_of
from sftok.training.interruption import TrainingInterrupted


def stopped(artifact: Artifact, context: Context) -> dict[str, Any]:
    raise TrainingInterrupted("a signal came")


def test_trials_are_ordinary_artifacts(store: Store) -> None:
    search = a_search()
    trials = search_with(make, search, store)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    for trial in trials:
        assert trial.value == abs(trial.params["temperature"] - 1)
        assert store.is_done(search.plan(trial.params).rows[0].evaluation)
    assert set(attempts(store).values()) == {1}
    assert not list((store.root / "locks").iterdir())


def test_the_same_seed_draws_the_same_trials(tmp_path: Path) -> None:
    def of(folder: str, seed: int) -> list[float]:
        store = Store(tmp_path / folder)
        store.prepare()
        search = a_search(sampler=Sampler(startup_trials=3, seed=seed))
        return [trial.params["temperature"] for trial in search_with(make, search, store)]

    first = of("a", 0)
    assert of("b", 0) == first
    assert of("c", 1) != first
    assert len(set(first)) == 6


def test_an_interrupted_study_is_the_same_study(store: Store, tmp_path: Path) -> None:
    whole = Store(tmp_path / "whole")
    whole.prepare()
    search = a_search()
    expected = search_with(make, search, whole)
    worker = a_worker(search, store, make)

    def stop_the_third() -> None:
        if len(worker.journal.trials()) == 3:
            worker.stop.request()

    with pytest.raises(Interrupted):
        worker.work(6, after_trial=stop_the_third)
    assert len(worker.journal.trials()) == 3
    trials = search_with(make, search, store)
    assert [(each.params, each.value) for each in trials] == [(each.params, each.value) for each in expected]


def test_a_trial_may_be_stopped_any_number_of_times_and_is_resumed(store: Store) -> None:
    search = a_search()
    for _ in range(ATTEMPTS + 2):
        with pytest.raises(Interrupted):
            search_with(stopped, search, store, budget=1)
    (left,) = a_worker(search, store, make).journal.trials()
    assert left.state is TrialState.RUNNING
    (trial,) = search_with(make, search, store, budget=1)
    assert (trial.state, trial.params) == (TrialState.COMPLETE, left.params)


def test_failed_trials_are_kept_with_their_reason(store: Store) -> None:
    def fail_above_two(artifact: Artifact, context: Context) -> dict[str, Any]:
        if artifact.kind == "evaluation" and temperature(artifact) > 2:
            raise ValueError("too hot")
        return make(artifact, context)

    search = a_search()
    trials = search_with(fail_above_two, search, store, budget=8)
    failed = [trial for trial in trials if trial.params["temperature"] > 2]
    assert failed
    assert len(trials) == 8
    for trial in trials:
        assert (trial.state is TrialState.FAIL) == (trial in failed)
    assert all("ValueError: too hot" in trial.user_attrs["reason"] for trial in failed)
    # They have ended: the same command draws no trial in their place.
    assert len(search_with(make, search, store, budget=8)) == 8


@pytest.mark.parametrize(
    ("result", "reason"),
    [(measured(float("nan")), "rfid is nan"), ({}, "the evaluation has 0 values of rfid")],
)
def test_a_trial_without_a_value_fails(store: Store, result: dict[str, Any], reason: str) -> None:
    (trial,) = search_with(lambda artifact, context: dict(result), a_search(), store, budget=1)
    assert trial.state is TrialState.FAIL
    assert trial.user_attrs["reason"] == reason


def test_a_grid_measures_every_pair_once(store: Store) -> None:
    space = {
        "lookup": Choice(keys=("evaluation.final_lookup",), choices=("hard", "soft")),
        "schedule": Choice(keys=("evaluation.schedule",), choices=("arccos", "linear", "sqrt")),
    }
    search = a_search(space=space, sampler=Sampler(name="grid", seed=3))
    trials = search_with(lambda artifact, context: measured(1.0), search, store)
    assert len({tuple(trial.params.items()) for trial in trials}) == 6
    assert drawn(search_with(make, search, store, budget=7))[:6] == drawn(trials)


def test_the_record_has_all_trials_and_the_command_for_the_best_one(store: Store) -> None:
    search = a_search()
    trials = search_with(make, search, store)
    written = record_of(search, store)
    (record,) = stored_studies(store.root)
    assert record == written
    best = min(trials, key=lambda trial: cast(float, trial.value))
    assert record.best == best.number
    assert record.overlay == {"evaluation.temperature": best.params["temperature"]}
    assert record.best_command.startswith("python -m experiments run table4 --profile smoke --overlay ")
    assert record.best_command.endswith("best.json --store somewhere")
    assert record.extractor == "classifier"
    assert record.metric is not None
    assert record.metric.heading == "rFID ↓"
    assert record.importance == {"temperature": 1.0}
    assert [trial.value for trial in record.trials] == [trial.value for trial in trials]


OWN_STUDY = """
from experiments.specs import Experiment, Row, Study
from experiments.specs.study import FloatRange

EXPERIMENT = Experiment(
    name="mine", kind="ablation", title="t", source="s", description="d", rows=(Row(name="a", label="a"),)
)
STUDY = Study(
    name="tiny", title="t", description="d", experiment="mine", row="a", trials=1,
    space={"temperature": FloatRange(keys=("evaluation.temperature",), low=0, high=4)},
)
"""


def test_a_study_in_a_file_of_your_own_runs_that_file_and_jobs_a_copy_of_it(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "my_search.py"
    path.write_text(OWN_STUDY)
    registry = Registry(["experiments.paper"])
    study = registry.study(str(path))
    own = registry.experiment(study.experiment)
    search = dataclasses.replace(a_search(), study=study, experiment=own, source=registry.source)
    search_with(make, search, store, budget=1)
    assert f" run {path} --profile smoke " in record_of(search, store).best_command
    del sys.modules["my_search"]
    copy = copy_of(registry.source, store.root / "studies" / "tiny")
    path.write_text("changed since")
    assert Registry(["experiments.paper"]).study(str(copy)) == study
    del sys.modules["my_search"]
