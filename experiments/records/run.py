"""The state of a stored request: its artifacts, its rows and, as `Run.frame`, all of its numbers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.records.judges import Judges, judges_of
from experiments.requests import StoredRequest, StoredRow, stored_requests
from experiments.specs import Experiment
from experiments.store import Result, Store, StoredArtifact, StoreError, locks, readable_json
from sftok.config import Config, ConfigError
from sftok.metrics.quantity import Quantity

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Status = Literal["done", "running", "failed", "waiting", "blocked"]
"""`blocked` means waiting for an artifact that failed."""

REFERENCES = {"teacher": "Teacher's own reconstruction", "real": "Real images"}
"""Labels of the reference rows, which bound the numbers of all tokenizers."""


class ArtifactState(Config):
    """The state of one artifact of a run."""

    name: str
    kind: str
    stage: str = ""
    key: str
    label: str
    status: Status
    progress: float | None = None
    """The completed share, in [0,1], while it is running."""
    remaining_seconds: float | None = None
    error: str | None = None
    """The reason of a failure, or the problem with damaged files."""
    note: str | None = None
    """Why it is waiting: the artifact that blocks it, the state of its job, or the cause of a delay."""
    seconds: float | None = None
    shared_by: int = 1
    """Number of rows and seeds of the run that use it."""
    folder: Path | None = None
    """The folder of its files; None if there are none yet."""
    provenance: dict[str, Any] = {}


@dataclass(frozen=True)
class RowState:
    """One row of a table at one seed."""

    row: str
    seed: int
    status: Status
    evaluation: ArtifactState
    analyses: tuple[ArtifactState, ...]
    training: tuple[ArtifactState, ...]
    """The training stages in order: warm-up, alignment ..."""

    @property
    def measurements(self) -> tuple[ArtifactState, ...]:
        """The evaluation and the analyses of the experiment."""
        return (self.evaluation, *self.analyses)

    @property
    def training_seconds(self) -> float | None:
        """Seconds of all training stages, including shared ones; None while any is unknown."""
        seconds = [stage.seconds for stage in self.training if stage.seconds is not None]
        return sum(seconds) if seconds and len(seconds) == len(self.training) else None


@dataclass(frozen=True, eq=False)
class Run:
    """The stored state of one request, complete or not; nothing is measured again."""

    request: StoredRequest
    artifacts: tuple[ArtifactState, ...]
    rows: tuple[RowState, ...]
    results: Mapping[str, Result]
    """The results of finished artifacts by name."""
    calibration: Result | None = None
    """The calibration of the run's feature spaces, if stored."""

    @property
    def experiment(self) -> Experiment:
        """The spec with its rows, claims and published numbers."""
        return self.request.experiment

    @property
    def complete(self) -> bool:
        """Whether every artifact is done."""
        return all(artifact.status == "done" for artifact in self.artifacts)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One line for each number; see `experiments.records.frame`."""
        from experiments.records.frame import numbers

        return numbers(self)

    @cached_property
    def judges(self) -> Judges:
        """The feature spaces that the rule accepts as judges."""
        return judges_of(self)

    @property
    def primary_extractor(self) -> str:
        """The feature space of the headline verdicts: the rule's or, without a calibration, the profile's."""
        return next(iter(self.judges.calibrated), self.request.primary_extractor)

    @cached_property
    def metrics(self) -> dict[str, Quantity]:
        """The descriptions of all metrics that are measured, published or claimed."""
        found = {}
        for described in (self.request.metrics, *(result.metrics for result in self.results.values())):
            for name, values in described.items():
                with contextlib.suppress(ConfigError):  # an unreadable one is labeled with its name
                    found[name] = Quantity.build(values)
        return found

    def metric(self, name: str) -> Quantity:
        """The description of a metric; one without a description is labeled with its name."""
        return self.metrics.get(name) or Quantity(name=name, label=name, meaning="")

    def label(self, row: str) -> str:
        """The label of a row of the experiment, or of a reference."""
        return REFERENCES.get(row) or self.experiment.row(row).label

    def states_of(self, row: str) -> list[RowState]:
        """The row at each of its seeds."""
        return [state for state in self.rows if state.row == row]

    def input_of(self, artifact: ArtifactState, role: str) -> str:
        """The name of the artifact's input with that role; empty if there is none."""
        return self.request.by_name[artifact.name].inputs.get(role, "")


def load_runs(store: Store) -> list[Run]:
    """The current state of every request, latest first; unreadable ones are logged and left out."""
    runs = []
    for request in stored_requests(store.root):
        try:
            runs.append(load_run(store, request))
        except StoreError as error:
            log.warning("left out: %s", error)
    return runs


def load_run(store: Store, request: StoredRequest) -> Run:
    """The current state of one request; an artifact with damaged files counts as failed.

    Raises:
        StoreError: the request refers to a row or an artifact that it does not contain.
    """
    _check_names(request)
    states: dict[str, ArtifactState] = {}
    results: dict[str, Result] = {}
    for artifact in request.artifacts:
        result, damage = None, None
        try:
            result = store.result(artifact)
        except StoreError as error:
            damage = str(error)
        if result is not None:
            results[artifact.name] = result
        standing = _standing(store, artifact, result, damage, states)
        states[artifact.name] = ArtifactState(
            **artifact.model_dump(include={"name", "kind", "stage", "label"}),
            key=artifact.key,
            shared_by=request.users[artifact.name],
            **standing,
        )
    rows = tuple(_row_state(request, row, states) for row in request.rows)
    return Run(
        request=request,
        artifacts=tuple(states.values()),
        rows=rows,
        results=results,
        calibration=_calibration(store, request),
    )


def _calibration(store: Store, request: StoredRequest) -> Result | None:
    try:
        return store.result(request.calibration) if request.calibration else None
    except StoreError as error:
        log.warning("%s: judged without its calibration: %s", request.name, error)
        return None


def _check_names(request: StoredRequest) -> None:
    rows = {row.name for row in request.experiment.rows}
    unknown = [name for row in request.rows for name in row.training if name not in request.by_name]
    unknown += [row.row for row in request.rows if row.row not in rows]
    if unknown:
        raise StoreError(
            f"request {request.name}.{request.profile}.json: damaged ({unknown[0]!r} is unknown); delete it "
            "and run the command again: finished artifacts are kept"
        )


def _standing(
    store: Store,
    artifact: StoredArtifact,
    result: Result | None,
    damage: str | None,
    earlier: Mapping[str, ArtifactState],
) -> dict[str, Any]:
    """The fields of an artifact's state other than its identity; `earlier` includes its inputs' states."""
    if result is not None:
        made = result.provenance
        folder = store.folder(artifact)
        return {"status": "done", "folder": folder, "seconds": made.seconds, "provenance": made.model_dump()}
    if locks.owner(store.lock_path(artifact)):
        found: dict[str, Any] = {"status": "running", "folder": store.work_folder(artifact)}
        progress = store.progress(artifact) or {}
        if progress.get("total"):
            found["progress"] = progress["done"] / progress["total"]
            found["remaining_seconds"] = progress.get("remaining_seconds")
        return found | {"note": progress.get("preparing")}
    if error := damage or (store.failure(artifact) or {}).get("reason"):
        return {"status": "failed", "error": error}
    for upstream in (earlier[name] for name in artifact.inputs.values()):
        if upstream.status == "failed":
            return {"status": "blocked", "note": f"blocked by {upstream.label} ({upstream.name})"}
        if upstream.status == "blocked":
            return {"status": "blocked", "note": upstream.note}
    return {"status": "waiting", "note": _job_note(store, artifact)}


def _job_note(store: Store, artifact: StoredArtifact) -> str | None:
    """The state of the artifact's cluster job, e.g. `job 12: pending (Priority)`."""
    job = readable_json(store.root / "jobs" / f"{artifact.name}.json")
    if job is None:
        return None
    state = str(job.get("state", "PENDING")).lower()
    reason = f" ({job['reason']})" if job.get("reason") else ""
    return f"job {job.get('job')}: {'starting' if state == 'running' else state}{reason}"


def _row_state(request: StoredRequest, row: StoredRow, states: Mapping[str, ArtifactState]) -> RowState:
    evaluation, *analyses = measurements = [states[name] for name in row.measurements]
    training = tuple(states[name] for name in row.training)
    status: Status = "waiting"
    if all(part.status == "done" for part in measurements):
        status = "done"
    elif any(states[artifact.name].status == "failed" for artifact in request.needed_by(row)):
        status = "failed"
    elif any(part.status == "running" for part in (*training, *measurements)):
        status = "running"
    return RowState(row.row, row.seed, status, evaluation, tuple(analyses), training)
