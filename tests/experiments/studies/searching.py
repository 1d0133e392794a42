"""A small study over fake artifacts, whose best temperature is 1."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

import pytest
from optuna.trial import FrozenTrial

from experiments.executors import inline
from experiments.executors.datasets import DataSets
from experiments.executors.stop import Stop
from experiments.paper import table4
from experiments.profiles import PROFILES
from experiments.store import Store
from experiments.studies.journal import Journal
from experiments.studies.search import SPLIT, Search, work
from experiments.study import FloatRange, Sampler, Study
from experiments.tasks.base import Task

NO_DATA = cast(DataSets, type("NoData", (), {"load": None})())
TEMPERATURE = FloatRange(keys=("evaluation.temperature",), low=0.0, high=4.0)


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
    return Journal(search.study, search.identity(), store.root / "studies" / "tiny", store.root / "locks")


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
    monkeypatch.setattr(inline, "find_maker", lambda kind: maker)
    journal = a_journal(search, store)
    work(search, journal, budget, store, NO_DATA, lambda trial, planned: [], Stop())
    return journal.trials()


def drawn(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    return [trial.params for trial in trials]


def attempts(store: Store) -> Counter[str]:
    return Counter((store.root / "attempts").read_text().split())
