"""A small table with made-up numbers, and what MLflow knows of it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from mlflow import MlflowClient

from experiments.artifacts import Artifact
from experiments.planning.plan import plan
from experiments.planning.requests import Request
from experiments.profiles.base import Profile
from experiments.spec import Experiment, Row
from experiments.store import Store

PROFILE = Profile(
    name="tiny",
    purpose="tests",
    overlay={"data.image_size": 256, "tokenizer_steps": 30, "stage1.steps": 10},
    meaningless=True,
)
EXPERIMENT = Experiment(
    name="table0",
    kind="table",
    title="A table",
    source="Table 0",
    description="",
    rows=(
        Row(name="low", label="low", overrides={"stage2.replacement_ratio": 0.5}),
        Row(name="high", label="high", overrides={"stage2.replacement_ratio": 1.0}),
    ),
)
FINGERPRINTS = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}


def make_request(seeds: tuple[int, ...] = (0,), overrides: dict[str, Any] | None = None) -> Request:
    planned = plan(EXPERIMENT, PROFILE, seeds, overrides or {}, FINGERPRINTS)
    return Request(planned, "python -m experiments run table0", "ten images", "2026-01-01T00:00:00+00:00")


def finish(store: Store, artifact: Artifact) -> None:
    """What a maker and the runner leave behind, with made-up numbers."""
    if store.is_done(artifact):
        return
    folder = store.open_work(artifact)
    result: dict[str, Any] = {
        "provenance": {"started": "2026-01-01T00:00:00+00:00", "seconds": 60.0, "commit": "abc+changes"}
    }
    if artifact.kind == "stage":
        lines = [{"step": step, "loss": 1 / step, "learning_rate": 1e-3} for step in range(1, 11)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if artifact.kind == "evaluation" and "tokenizer" in artifact.inputs:
        measured = {"temperature": 0.0, "n_images": 10, "subject": "tokenizer"}
        rows = [
            {"metric": "rfid", "extractor": "classifier@28", "steps": steps, "value": 2.0 + steps, **measured}
            for steps in (1, 8)
        ]
        rows += [{"metric": "codebook_usage", "extractor": "", "steps": None, "value": 0.5, **measured}]
        result |= {"rows": rows, "protocol": {"fingerprint": "f00d"}}
        strips = {
            name: np.full((2, 3, 4, 4), value, np.uint8) for name, value in (("original", 9), ("T1", 200))
        }
        np.savez(folder / "examples.npz", **strips)
    store.commit(artifact, result)


def finish_row(store: Store, request: Request, index: int) -> None:
    row = request.plan.rows[index]
    for artifact in (*row.training, row.evaluation):
        finish(store, artifact)


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
