"""Delivers finished rows to MLflow: a parent run per request, and in it a nested run per row and seed.

The store is what counts and MLflow shows it: rows are imported from the store, so a tracking server that is
away loses nothing, and the next `sync` delivers. By default MLflow is a SQLite file in the store; look at it
with `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1`. The environment variable
`MLFLOW_TRACKING_URI` names another place.

A nested run is finished last of all, so one that is not finished was cut off: it is deleted and made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import claims, tracked
from experiments.planning.requests import Request
from experiments.records.collect import table_run
from experiments.records.results import RowRun, TableRun
from experiments.store import CONFIG, EXAMPLES, RESULT, Store, StoreError, read_json, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "sftok"
DATABASE, FILES, LEDGER = "mlflow.db", "mlflow-artifacts", "mlflow-delivered.json"

METRICS_A_BATCH, PARAMETERS_A_BATCH, PARAMETER_LENGTH = 1000, 100, 6000
"""MLflow's limits of one call, and of a parameter's text."""

ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Set always: nothing about a run leaves the machine but to the tracking server that the user named."""

DEFAULTS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Set unless the user did: by its own defaults MLflow waits for minutes for a server that is away."""

WAIT_SECONDS, POLL_SECONDS = 60.0, 0.2

RUNNING = "RUNNING"

log = logging.getLogger(__name__)


def sync(store: Store, request: Request, *, ask: bool = False) -> int:
    """Import all finished rows of `request` that MLflow does not have yet; returns how many were delivered.

    What was delivered before is only remembered, unless MLflow is to be asked: a server may have lost it.
    Never raises for a tracker that cannot be used: one line says so, and the next call delivers.
    """
    delivered = 0
    try:
        run = table_run(store, request)
        ledger = Ledger(store)
        done = {_delivery(request, row): row for row in run.rows if row.status == "done"}
        # A parent that is running needs no word; one that ended without a new row does, as by a late failure.
        ended = f"{request_key(request)}={_standing(run)}" if _standing(run) != RUNNING else None
        if not ask and all(delivery in ledger for delivery in (*done, *filter(None, [ended]))):
            return 0
        with _alone(store):
            tracker = Tracker(store, request, run)
            for delivery, row in done.items():
                delivered += tracker.deliver(delivery, row)
                ledger.add(delivery)
            tracker.close()
            ledger.stand(request_key(request), _standing(run))
    except Exception as error:
        # Whatever the tracker suffers from must not end a run: the numbers are in the store.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("MLflow: not delivered, the next run of the command will (%s)", reason)
    return delivered


class Ledger:
    """What was delivered where: only a cache, so that MLflow is not even imported when nothing is new."""

    def __init__(self, store: Store):
        self._path = store.root / LEDGER
        # A hash, because the address of a tracking server may hold a password.
        self._destination = _digest(_tracking_uri(store))
        self._database = None if _server() else store.root / DATABASE

    def __contains__(self, delivery: str) -> bool:
        lost = self._database is not None and not self._database.exists()
        return not lost and delivery in self._read().get(self._destination, ())

    def add(self, delivery: str) -> None:
        """Remember a delivery."""
        known = self._read()
        known[self._destination] = sorted({*known.get(self._destination, ()), delivery})
        write_json(self._path, known)

    def stand(self, request: str, standing: str) -> None:
        """Remember what was said last of a request's parent run."""
        known = self._read()
        others = [each for each in known.get(self._destination, ()) if not each.startswith(f"{request}=")]
        write_json(self._path, known | {self._destination: sorted([*others, f"{request}={standing}"])})

    def _read(self) -> dict[str, Any]:
        try:
            return read_json(self._path) or {}
        except StoreError:
            return {}


class Tracker:
    """The runs of one request in MLflow. One at a time on a store: see `_alone`."""

    def __init__(self, store: Store, request: Request, run: TableRun):
        """Connect, and find or make the experiment and the parent run."""
        self._plan, self._run = request.plan, run
        self._client = _connect(store)
        self._experiment = self._find_experiment(store)
        self._parent = self._find_parent(request)

    def deliver(self, delivery: str, row: RowRun) -> bool:
        """Make the row's nested run; False if MLflow has it already."""
        for found in self._search("sftok.delivery", delivery):
            if found.info.status == "FINISHED":
                return False
            self._client.delete_run(found.info.run_id)
        start, end = tracked.working_time(row)
        own = {"mlflow.parentRunId": self._parent, "sftok.delivery": delivery}
        nested = self._client.create_run(
            self._experiment,
            start_time=start,
            run_name=f"{row.row}, seed {row.seed}{self._caution}",
            tags=self._common_tags() | tracked.tags(self._plan, row) | own,
        )
        run_id = nested.info.run_id
        self._log_parameters(run_id, tracked.parameters(self._plan, row))
        self._log_values(run_id, [*tracked.curves(row), *tracked.measurements(row)], end)
        self._log_files(run_id, row.evaluation.folder)
        for analysis in row.analyses:
            self._log_files(run_id, analysis.folder, place=f"analysis-{analysis.key}")
        self._client.set_terminated(run_id, "FINISHED", end_time=end)
        return True

    def close(self) -> None:
        """Say on the parent run how the request stands."""
        standing = _standing(self._run)
        if standing == RUNNING:
            self._client.update_run(self._parent, status=RUNNING)
        else:
            self._client.set_terminated(self._parent, standing)

    @property
    def _caution(self) -> str:
        return " (numbers mean nothing)" if self._run.meaningless else ""

    def _find_experiment(self, store: Store) -> str:
        # A server keeps files where it is configured to; beside the SQLite file we say where.
        place = None if _server() else (store.root / FILES).as_uri()
        name = EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None and place not in (None, found.artifact_location):
            # The store was moved; that experiment's files would still be written to the old place.
            name = f"{EXPERIMENT} ({store.root})"
            found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=place))

    def _find_parent(self, request: Request) -> str:
        key = request_key(request)
        for found in self._search("sftok.request", key):
            return str(found.info.run_id)
        experiment = self._run.experiment
        note = f"{experiment.title} ({experiment.source}). Data: {self._run.data}."
        parent = self._client.create_run(
            self._experiment,
            run_name=f"{experiment.name}, {self._run.profile}{self._caution}",
            tags=self._common_tags() | {"sftok.request": key, "mlflow.note.content": note},
        )
        return str(parent.info.run_id)

    def _search(self, tag: str, value: str) -> Iterable[Any]:
        return self._client.search_runs([self._experiment], filter_string=f"tags.`{tag}` = '{value}'")

    def _common_tags(self) -> dict[str, str]:
        return {
            "sftok.table": self._run.experiment.name,
            "sftok.profile": self._run.profile,
            "sftok.meaningless": str(self._run.meaningless).lower(),
            "sftok.overrides": json.dumps(self._run.overrides, sort_keys=True),
            "sftok.command": self._run.command,
        }

    def _log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(name, text[:PARAMETER_LENGTH]) for name, text in parameters.items()]
        for start in range(0, len(params), PARAMETERS_A_BATCH):
            self._client.log_batch(run_id, params=params[start : start + PARAMETERS_A_BATCH])

    def _log_values(self, run_id: str, values: Sequence[tracked.Value], timestamp: int) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(name, value, timestamp, step) for name, value, step in values]
        for start in range(0, len(metrics), METRICS_A_BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + METRICS_A_BATCH])

    def _log_files(self, run_id: str, folder: Path | None, place: str | None = None) -> None:
        assert folder is not None, "a finished measurement has a folder"
        for name in (RESULT, CONFIG):
            self._client.log_artifact(run_id, str(folder / name), place)
        if (folder / EXAMPLES).exists():
            self._client.log_image(run_id, tracked.strip(folder / EXAMPLES), "examples.png")


def request_key(request: Request) -> str:
    """A hash of the table, the profile, the overrides and the data: equal requests share a parent run."""
    plan = request.plan
    data = dict(plan.reference.data) if plan.reference else {}
    identity = [plan.experiment.name, plan.profile.name, dict(plan.overrides), data]
    return _digest(json.dumps(identity, sort_keys=True))


def _standing(run: TableRun) -> str:
    """MLflow's word for how the rows stand; a request without rows has no parent run to end."""
    statuses = {row.status for row in run.rows}
    if not statuses or not statuses <= {"done", "failed"}:
        return RUNNING
    return "FAILED" if "failed" in statuses else "FINISHED"


def _delivery(request: Request, row: RowRun) -> str:
    measured = "+".join(part.key for part in (row.evaluation, *row.analyses))
    return f"{request_key(request)}/{row.row}/{row.seed}/{measured}"


def _server() -> str | None:
    """The tracking server (or other place) that the user named, if any."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def _tracking_uri(store: Store) -> str:
    return _server() or f"sqlite:///{store.root / DATABASE}"


def _connect(store: Store) -> MlflowClient:
    os.environ.update(ENVIRONMENT)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Here, because its import is slow and needed only when there is something to deliver.
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if not _server() and not (store.root / DATABASE).exists():
        # Aside, and then moved: killed while it makes its tables, MLflow leaves a file it can never open.
        draft = store.root / f".{DATABASE}.new"
        draft.unlink(missing_ok=True)
        MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments()
        draft.replace(store.root / DATABASE)
    return MlflowClient(tracking_uri=_tracking_uri(store))


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """One process at a time: several that create MLflow's database at once break it.

    Raises:
        TimeoutError: another process is at it for too long.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with claims.claim(store.root / "claims" / "mlflow.json") as ours:
            if ours:
                yield
                return
        if time.monotonic() > deadline:
            raise TimeoutError("another process is still delivering")
        time.sleep(POLL_SECONDS)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
