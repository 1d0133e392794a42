"""A request's runs in MLflow: a parent run, with a nested run per row and seed.

A nested run is marked as finished last, so an unfinished one was interrupted, and is deleted and made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from experiments.records import RowState, Run
from experiments.store import CONFIG, EXAMPLES, RESULT, Store
from experiments.tracking import content
from experiments.tracking.connection import FILES, connect, server

EXPERIMENT = "sftok"

METRICS_A_BATCH, PARAMETERS_A_BATCH, PARAMETER_LENGTH = 1000, 100, 6000
"""MLflow's limits per call, and on the length of a parameter."""

RUNNING = "RUNNING"


class Tracker:
    """The runs of one request in MLflow, for one process at a time per store (see `delivery`)."""

    def __init__(self, store: Store, run: Run):
        """Connect, and find or create the experiment and the parent run."""
        self._run, self._request = run, run.request
        self._client = connect(store)
        self._experiment = self._find_experiment(store)
        self._parent = self._find_parent()

    def deliver(self, delivery: str, row: RowState) -> bool:
        """Create the row's nested run; returns False if MLflow already has it.

        Raises:
            StoreError: a training log of the row is damaged.
        """
        for found in self._search("sftok.delivery", delivery):
            if found.info.status == "FINISHED":
                return False
            self._client.delete_run(found.info.run_id)
        values = [*content.curves(row), *content.measurements(self._run, row)]
        start, end = content.working_time(row)
        own = {"mlflow.parentRunId": self._parent, "sftok.delivery": delivery}
        nested = self._client.create_run(
            self._experiment,
            start_time=start,
            run_name=f"{row.row}, seed {row.seed}{self._caution}",
            tags=self._common_tags() | content.tags(self._run, row) | own,
        )
        run_id = nested.info.run_id
        self._log_parameters(run_id, content.parameters(self._run, row))
        self._log_values(run_id, values, end)
        self._log_files(run_id, row.evaluation.folder)
        for analysis in row.analyses:
            self._log_files(run_id, analysis.folder, place=f"analysis-{analysis.key}")
        self._client.set_terminated(run_id, "FINISHED", end_time=end)
        return True

    def close(self) -> None:
        """Update the status of the parent run."""
        status = standing(self._run)
        if status == RUNNING:
            self._client.update_run(self._parent, status=RUNNING)
        else:
            self._client.set_terminated(self._parent, status)

    @property
    def _caution(self) -> str:
        return " (numbers mean nothing)" if self._request.meaningless else ""

    def _find_experiment(self, store: Store) -> str:
        # A server stores files as configured; for the SQLite file they go next to it.
        place = None if server() else store.root / FILES
        name = EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None and place is not None and not _is_at(found.artifact_location, place):
            # The store was moved, but files of this experiment would still be written to the old place.
            name = f"{EXPERIMENT} ({store.root})"
            found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = None if place is None else place.as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _find_parent(self) -> str:
        key = request_key(self._run)
        for found in self._search("sftok.request", key):
            return str(found.info.run_id)
        experiment = self._run.experiment
        note = f"{experiment.title} ({experiment.source}). Data: {self._request.data}."
        parent = self._client.create_run(
            self._experiment,
            run_name=f"{experiment.name}, {self._request.profile}{self._caution}",
            tags=self._common_tags() | {"sftok.request": key, "mlflow.note.content": note},
        )
        return str(parent.info.run_id)

    def _search(self, tag: str, value: str) -> Iterable[Any]:
        return self._client.search_runs([self._experiment], filter_string=f"tags.`{tag}` = '{value}'")

    def _common_tags(self) -> dict[str, str]:
        return {
            "sftok.table": self._run.experiment.name,
            "sftok.profile": self._request.profile,
            "sftok.meaningless": str(self._request.meaningless).lower(),
            "sftok.overrides": json.dumps(self._request.overrides, sort_keys=True),
            "sftok.command": self._request.command,
        }

    def _log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(name, text[:PARAMETER_LENGTH]) for name, text in parameters.items()]
        for start in range(0, len(params), PARAMETERS_A_BATCH):
            self._client.log_batch(run_id, params=params[start : start + PARAMETERS_A_BATCH])

    def _log_values(self, run_id: str, values: Sequence[content.Value], timestamp: int) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, timestamp, step) for name, value, step in values]
        for start in range(0, len(metrics), METRICS_A_BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])

    def _log_files(self, run_id: str, folder: Path | None, place: str | None = None) -> None:
        assert folder is not None, "a finished measurement has a folder"
        for name in (RESULT, CONFIG):
            self._client.log_artifact(run_id, str(folder / name), place)
        if (folder / EXAMPLES).exists():
            # A damaged file has no picture, which must not prevent the delivery; the page reports it.
            with contextlib.suppress(ValueError):
                self._client.log_image(run_id, content.strip(folder / EXAMPLES), "examples.png")


def _is_at(location: str, place: Path) -> bool:
    """Whether a file URI is `place`, possibly through a link."""
    return Path(url2pathname(urlsplit(location).path)).resolve() == place.resolve()


def request_key(run: Run) -> str:
    """A hash of table, profile, overrides and data; requests with equal keys share a parent run."""
    request = run.request
    data = request.by_name[request.rows[0].evaluation].data if request.rows else {}
    identity = [request.name, request.profile, request.overrides, data]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def standing(run: Run) -> str:
    """MLflow's status for the rows; without rows, there is no parent run to end."""
    statuses = {row.status for row in run.rows}
    if not statuses or not statuses <= {"done", "failed"}:
        return RUNNING
    return "FAILED" if "failed" in statuses else "FINISHED"
