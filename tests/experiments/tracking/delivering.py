"""A small table with made-up numbers, and what MLflow knows of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from mlflow import MlflowClient
from stored_runs import StoreMaker, line, write_log

from experiments.records import load_run
from experiments.requests import StoredRequest
from experiments.specs import Experiment, Row
from experiments.store import EXAMPLES, Store, StoredArtifact
from experiments.tracking import delivery

EXPERIMENT = Experiment(
    name="table0",
    kind="table",
    title="A table",
    source="Table 0",
    description="",
    rows=(Row(name="low", label="low"), Row(name="high", label="high")),
)
RECIPES = {
    "low": {"data": {"path": None}, "stage2": {"replacement_ratio": 0.5}},
    "high": {"data": {"path": "x" * 7000}, "stage2": {"replacement_ratio": 1.0}},
}


def make_request(store: Store, seeds: tuple[int, ...] = (0,), **changes: Any) -> StoredRequest:
    values = {"recipes": RECIPES, "meaningless": True, "command": "python -m experiments run table0"}
    return StoreMaker(store.root).request(changes.pop("experiment", EXPERIMENT), seeds, **values | changes)


def with_artifacts(request: StoredRequest, **changes: Any) -> StoredRequest:
    artifacts = [each.model_copy(update=changes) for each in request.artifacts]
    return StoredRequest.model_validate(request.model_dump() | {"artifacts": artifacts})


def finish(store: Store, artifact: StoredArtifact) -> None:
    """What a maker and the runner leave behind, with made-up numbers."""
    if store.is_done(artifact):
        return
    folder = store.open_work(artifact, {})
    result: dict[str, Any] = {}
    if artifact.kind == "stage":
        write_log(folder, 100, 2.0)
    if "tokenizer" in artifact.inputs and artifact.kind == "evaluation":
        rows = [line("rfid", 2.0 + steps, "classifier@28", steps=steps, temperature=0.0) for steps in (1, 8)]
        result = {"rows": [*rows, line("codebook_usage", 0.5)], "protocol": {"fingerprint": "f00d"}}
        strips = {"original": np.full((2, 3, 4, 4), 9, np.uint8), "T1": np.full((2, 3, 4, 4), 200, np.uint8)}
        np.savez(folder / EXAMPLES, **strips)
    elif artifact.kind == "analysis":
        rows = [line("accuracy", step / 10, step=step, positions="masked") for step in (1, 2)]
        result = {"rows": rows, "protocol": {}}
    StoreMaker(store.root).finish(artifact, took=60.0, **result)


def finish_row(store: Store, request: StoredRequest, index: int = 0) -> None:
    for artifact in request.needed_by(request.rows[index]):
        finish(store, artifact)


def sync(store: Store, request: StoredRequest, *, ask: bool = False) -> int:
    return delivery.sync(store, load_run(store, request), ask=ask)


def deliver(store: Store, request: StoredRequest, *, ask: bool = False) -> int:
    return delivery.deliver(store, load_run(store, request), ask=ask)


def client_of(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{store.root / 'mlflow.db'}")


def runs(store: Store) -> list[Any]:
    client = client_of(store)
    experiment = client.get_experiment_by_name("sftok")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def nested(store: Store) -> list[Any]:
    return [run for run in runs(store) if "sftok.delivery" in run.data.tags]


def parents(store: Store) -> list[Any]:
    return [run for run in runs(store) if "sftok.request" in run.data.tags]


def assert_complete(store: Store, rows: int) -> None:
    """Exactly one finished run per row, each with its whole curve."""
    found = nested(store)
    assert len({run.data.tags["sftok.delivery"] for run in found}) == len(found) == rows
    assert len(parents(store)) == 1
    for run in found:
        assert run.info.status == "FINISHED"
        assert len(client_of(store).get_metric_history(run.info.run_id, "warm-up/loss")) == 10
