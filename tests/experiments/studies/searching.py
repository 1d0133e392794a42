"""A small study over fake artifacts, whose best temperature is 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from optuna.trial import FrozenTrial

from experiments.artifacts import Artifact, all_kinds
from experiments.artifacts.context import Context
from experiments.executors.datasets import DataSets
from experiments.executors.stop import Stop
from experiments.paper import table4
from experiments.profiles import PROFILES
from experiments.records.study_results import StudyRun
from experiments.specs import Study
from experiments.specs.study import FloatRange, Sampler
from experiments.store import Store
from experiments.studies.journal import Journal
from experiments.studies.search import SPLIT, Search
from experiments.studies.work import Worker
from experiments.studies.writing import write_record

NO_DATA = cast(DataSets, type("NoData", (), {"load": None})())
TEMPERATURE = FloatRange(keys=("evaluation.temperature",), low=0.0, high=4.0)
RATE = FloatRange(keys=("stage2.training.optimizer.learning_rate",), low=1e-3, high=1e-1, log=True)

Maker = Callable[[Artifact, Context], dict[str, Any]]


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


def a_worker(search: Search, store: Store, maker: Maker) -> Worker:
    """A worker of the process, in which from now on `maker` makes every artifact."""
    for kind in all_kinds().values():
        kind.make = lambda artifact, context: maker(artifact, context)  # type: ignore[method-assign,assignment]
    return Worker(search=search, journal=a_journal(search, store), store=store, data=NO_DATA, stop=Stop())


def search_with(maker: Maker, search: Search, store: Store, budget: int = 6) -> list[FrozenTrial]:
    worker = a_worker(search, store, maker)
    worker.work(budget)
    return worker.journal.trials()


def record_of(search: Search, store: Store, budget: int = 6) -> StudyRun:
    folder = store.root / "studies" / "tiny"
    options = ["--store", "somewhere"]
    return write_record(search, a_journal(search, store), folder, budget, "data", "a command", options)


def measured(value: float) -> dict[str, Any]:
    row = {"subject": "tokenizer", "metric": "rfid", "steps": 8, "extractor": "classifier", "n_images": 9}
    return {"rows": [{**row, "value": value}]}


def make(artifact: Artifact, context: Context) -> dict[str, Any]:
    """The objective is the distance of the temperature from 1."""
    with (context.store.root / "attempts").open("a") as log:
        log.write(f"{artifact.name}\n")
    return measured(abs(temperature(artifact) - 1)) if artifact.kind == "evaluation" else {}


def temperature(artifact: Artifact) -> float:
    return cast(float, cast(Any, artifact).protocol.temperature)


def drawn(trials: list[FrozenTrial]) -> list[dict[str, Any]]:
    return [trial.params for trial in trials]


def attempts(store: Store) -> Counter[str]:
    return Counter((store.root / "attempts").read_text().split())
