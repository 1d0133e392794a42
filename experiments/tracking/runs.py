"""A request's runs in MLflow: a parent, and in it a nested run per row and seed.

A nested run is marked finished last, so one that is not finished was cut off: it is deleted and made again.
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
"""MLflow's limits of one call, and of a parameter's text."""

RUNNING = "RUNNING"


class Tracker:
    """The runs of one request in MLflow. One process at a time on a store: see `delivery`."""

    def __init__(self, store: Store, run: Run):
        """Connect, and find or make the experiment and the parent run."""
        self._run, self._request = run, run.request
        self._client = connect(store)
        self._experiment = self._find_experiment(store)
        self._parent = self._find_parent()

    def deliver(self, delivery: str, row: RowState) -> bool:
        """Make the row's nested run; False if MLflow has it already.

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
        """Say on the parent run how the request stands."""
        status = standing(self._run)
        if status == RUNNING:
            self._client.update_run(self._parent, status=RUNNING)
        else:
            self._client.set_terminated(self._parent, status)

    @property
    def _caution(self) -> str:
        return " (numbers mean nothing)" if self._request.meaningless else ""

    def _find_experiment(self, store: Store) -> str:
        # A server keeps files where it is configured to; beside the SQLite file we say where.
        place = None if server() else store.root / FILES
        name = EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None and place is not None and not _is_at(found.artifact_location, place):
            # The store was moved; that experiment's files would still be written to the old place.
            name = f"{EXPERIMENT} ({store.root})"
            found = self._client.get_experiment_by_name(name)
        if found is not None:
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
            # A damaged file has no picture, and keeps nothing else from being delivered; the page names it.
            with contextlib.suppress(ValueError):
                self._client.log_image(run_id, content.strip(folder / EXAMPLES), "examples.png")


def _is_at(location: str, place: Path) -> bool:
    """Whether a file URI is `place`, perhaps by another way there, as through a link."""
    return Path(url2pathname(urlsplit(location).path)).resolve() == place.resolve()


def request_key(run: Run) -> str:
    """A hash of the table, the profile, the overrides and the data: equal requests share a parent run."""
    request = run.request
    data = request.by_name[request.rows[0].evaluation].data if request.rows else {}
    identity = [request.name, request.profile, request.overrides, data]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def standing(run: Run) -> str:
    """MLflow's word for how the rows stand; a request without rows has no parent run to end."""
    statuses = {row.status for row in run.rows}
    if not statuses or not statuses <= {"done", "failed"}:
        return RUNNING
    return "FAILED" if "failed" in statuses else "FINISHED"
