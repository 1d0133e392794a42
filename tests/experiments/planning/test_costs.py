"""Costs: measured ones where there are any, the profile's expectation elsewhere, and unknown said as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from plans import DATA, planned

from experiments.artifacts.base import Artifact
from experiments.planning.costs import estimate
from experiments.planning.plan import Plan
from experiments.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    return store


def table(seeds: tuple[int, ...] = (0,), profile: str = "cpu") -> Plan:
    return planned("table4", profile=profile, seeds=seeds)


def costs_of(made: Plan, store: Store) -> dict[Artifact, float | None]:
    return estimate(made.artifacts, store, made.profile.seconds_per_step)


def finish(store: Store, made: Plan, label: str, seconds: float) -> None:
    artifact = next(artifact for artifact in made.artifacts if artifact.label == label)
    for each in artifact.with_inputs():
        if not store.is_done(each):
            store.open_work(each, {})
            spent = seconds if each == artifact else 1.0
            spent_on = {"seconds": spent, "workload": each.workload, "units": each.units}
            spent_on["started"] = "2026-01-01"
            store.commit(each, {"provenance": spent_on})


def test_an_empty_store_takes_the_profile_at_its_word(store: Store) -> None:
    made = table()
    costs = {artifact.label: cost for artifact, cost in costs_of(made, store).items()}
    per_step = made.profile.seconds_per_step
    assert costs["warm-up, seed 0"] == per_step["warm-up"] * made.recipe.stage1.steps
    assert costs["ratio-0.5, seed 0"] == per_step["alignment"] * made.recipe.alignment_steps
    decodings = len(made.recipe.evaluation.steps)
    assert costs["evaluation of ratio-0.5, seed 0"] == per_step["evaluation"] * decodings
    assert costs["evaluation of the teacher"] == per_step["evaluation"]


def test_what_was_measured_once_is_expected_again(store: Store) -> None:
    (store.root / "artifacts" / "backup-old.tar").touch()  # somebody's own
    made = table(seeds=(0, 1))
    finish(store, made, "warm-up, seed 0", 123.0)
    finish(store, made, "evaluation of the teacher", 7.0)
    costs = {artifact.label: cost for artifact, cost in costs_of(made, store).items()}
    assert "warm-up, seed 0" not in costs, "done work costs nothing"
    assert costs["warm-up, seed 1"] == pytest.approx(123.0)
    expected = made.profile.seconds_per_step["evaluation"] * len(made.recipe.evaluation.steps)
    assert costs["evaluation of ratio-0.5, seed 0"] == expected, (
        "the teacher's evaluation says nothing about a tokenizer's"
    )


def test_unknown_costs_are_unknown(store: Store) -> None:
    assert set(estimate(table().artifacts, store, {}).values()) == {None}


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({"stage1.training.batch_size": 512}, "warm-up, seed 0"),
        ({"stage1.training.precision": "fp32"}, "warm-up, seed 0"),
        ({"teacher.backbone.hidden_channels": 64}, "teacher codes"),
        ({"teacher.backbone.hidden_channels": 64}, "evaluation of the teacher"),
    ],
)
def test_what_was_measured_says_nothing_about_larger_work(
    store: Store, changes: dict[str, object], label: str
) -> None:
    finish(store, table(), label, 1.0)
    larger = planned("table4", changes)
    costs = {artifact.label: cost for artifact, cost in costs_of(larger, store).items()}
    assert costs[label] != 1.0


def test_other_data_are_other_work(store: Store) -> None:
    finish(store, table(), "teacher codes", 1.0)
    other = planned("table4", data={**DATA, "train": "b" * 64})
    costs = {artifact.label: cost for artifact, cost in costs_of(other, store).items()}
    assert costs["teacher codes"] == other.profile.seconds_per_step["codes"]


def test_of_several_measurements_the_median_counts_as_one_may_be_of_resumed_work(store: Store) -> None:
    made = table(seeds=(0, 1, 2, 3))
    for seed, seconds in enumerate((10.0, 0.1, 11.0)):
        finish(store, made, f"warm-up, seed {seed}", seconds)
    costs = {artifact.label: cost for artifact, cost in costs_of(made, store).items()}
    assert costs["warm-up, seed 3"] == pytest.approx(10.0)


def test_a_damaged_result_of_something_else_stops_no_plan(store: Store) -> None:
    finish(store, table(), "warm-up, seed 0", 123.0)
    (warm_up,) = (artifact for artifact in table().artifacts if artifact.label == "warm-up, seed 0")
    (store.folder(warm_up) / "result.json").write_text("{")
    made = table(seeds=(1,))
    costs = {artifact.label: cost for artifact, cost in costs_of(made, store).items()}
    expected = made.profile.seconds_per_step["warm-up"] * made.recipe.stage1.steps
    assert costs["warm-up, seed 1"] == expected
