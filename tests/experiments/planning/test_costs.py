"""Costs: measured ones where there are any, the profile's expectation elsewhere, and unknown said as such."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.paper import table4
from experiments.planning.costs import estimate, readable
from experiments.planning.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    return store


def table(seeds: tuple[int, ...] = (0,), profile: str = "cpu") -> Plan:
    data = {"train": "a" * 64, "test": "c" * 64}
    return plan(table4.EXPERIMENT, PROFILES[profile], seeds, {}, data)


def finish(store: Store, planned: Plan, label: str, seconds: float) -> None:
    artifact = next(artifact for artifact in planned.artifacts if artifact.label == label)
    store.open_work(artifact)
    store.commit(artifact, {"provenance": {"seconds": seconds}})


def test_an_empty_store_takes_the_profile_at_its_word(store: Store) -> None:
    planned = table()
    costs = {artifact.label: cost for artifact, cost in estimate(planned, store).items()}
    per_step = planned.profile.seconds_per_step
    assert costs["warm-up, seed 0"] == per_step["warm-up"] * planned.recipe.stage1.steps
    assert costs["ratio-0.5, seed 0"] == per_step["alignment"] * planned.recipe.alignment_steps
    assert costs["evaluation of ratio-0.5, seed 0"] == per_step["evaluation"]


def test_what_was_measured_once_is_expected_again(store: Store) -> None:
    (store.root / "artifacts" / "backup-old.tar").touch()  # somebody's own
    planned = table(seeds=(0, 1))
    finish(store, planned, "warm-up, seed 0", 123.0)
    finish(store, planned, "evaluation of the teacher", 7.0)
    costs = {artifact.label: cost for artifact, cost in estimate(planned, store).items()}
    assert "warm-up, seed 0" not in costs, "done work costs nothing"
    assert costs["warm-up, seed 1"] == pytest.approx(123.0)
    assert costs["evaluation of ratio-0.5, seed 0"] == planned.profile.seconds_per_step["evaluation"], (
        "the teacher's evaluation says nothing about a tokenizer's"
    )


def test_unknown_costs_are_unknown(store: Store) -> None:
    assert set(estimate(table(profile="gpu"), store).values()) == {None}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "1.5 h"), (172_800, "2 days")],
)
def test_readable(seconds: float | None, text: str) -> None:
    assert readable(seconds) == text
