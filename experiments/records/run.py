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
"""`blocked`: waits for an artifact that failed."""

REFERENCES = {"teacher": "Teacher's own reconstruction", "real": "Real images"}
"""Labels of the rows that bound what any tokenizer can reach."""


class ArtifactState(Config):
    """One artifact of a run, as it stands."""

    name: str
    kind: str
    stage: str = ""
    key: str
    label: str
    status: Status
    progress: float | None = None
    """The share that is done, in [0,1], while it runs."""
    remaining_seconds: float | None = None
    error: str | None = None
    """Why it failed, or what is wrong with its files."""
    note: str | None = None
    """Why it waits: the artifact that blocks it, the state of its cluster job, or what delays it now."""
    seconds: float | None = None
    shared_by: int = 1
    """How many rows and seeds of the run use it."""
    folder: Path | None = None
    """Where its files are, once it has any."""
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
    """In order: warm-up, alignment ..."""

    @property
    def measurements(self) -> tuple[ArtifactState, ...]:
        """The evaluation, and the analyses that the experiment asks for."""
        return (self.evaluation, *self.analyses)

    @property
    def training_seconds(self) -> float | None:
        """Seconds of all training stages, shared ones included; None while any is unknown."""
        seconds = [stage.seconds for stage in self.training if stage.seconds is not None]
        return sum(seconds) if seconds and len(seconds) == len(self.training) else None


@dataclass(frozen=True, eq=False)
class Run:
    """What the store knows about one request, complete or not. It computes nothing that was not stored."""

    request: StoredRequest
    artifacts: tuple[ArtifactState, ...]
    rows: tuple[RowState, ...]
    results: Mapping[str, Result]
    """The results of finished artifacts, by the artifact's name."""
    calibration: Result | None = None
    """That of the run's feature spaces, if the store has it."""

    @property
    def experiment(self) -> Experiment:
        """Rows, claims and published numbers."""
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
        """The feature spaces that count, by the rule."""
        return judges_of(self)

    @property
    def primary_extractor(self) -> str:
        """The feature space of the headline verdicts: by the rule, or without a calibration the profile's."""
        return next(iter(self.judges.calibrated), self.request.primary_extractor)

    @cached_property
    def metrics(self) -> dict[str, Quantity]:
        """The descriptions of all metrics that are measured, published or claimed."""
        found = {}
        for described in (self.request.metrics, *(result.metrics for result in self.results.values())):
            for name, values in described.items():
                with contextlib.suppress(ConfigError):  # one that cannot be read keeps its name as label
                    found[name] = Quantity.build(values)
        return found

    def metric(self, name: str) -> Quantity:
        """The description of a metric; one that nobody described has its name for a label."""
        return self.metrics.get(name) or Quantity(name=name, label=name, meaning="")

    def label(self, row: str) -> str:
        """The label of a row of the experiment, or of a reference."""
        return REFERENCES.get(row) or self.experiment.row(row).label

    def states_of(self, row: str) -> list[RowState]:
        """The row at each of its seeds."""
        return [state for state in self.rows if state.row == row]

    def input_of(self, artifact: ArtifactState, role: str) -> str:
        """The name of the artifact's input of that role; empty if it has none."""
        return self.request.by_name[artifact.name].inputs.get(role, "")


def load_runs(store: Store) -> list[Run]:
    """Every request of the store as it stands now, the latest first; a line says which cannot be read."""
    runs = []
    for request in stored_requests(store.root):
        try:
            runs.append(load_run(store, request))
        except StoreError as error:
            log.warning("left out: %s", error)
    return runs


def load_run(store: Store, request: StoredRequest) -> Run:
    """One request as it stands now. An artifact whose files are damaged counts as failed.

    Raises:
        StoreError: the request names a row or an artifact that it does not describe.
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
    """What an artifact's state says beyond its identity; `earlier` are the states of its inputs."""
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
    """The state of the artifact's cluster job: `job 12: pending (Priority)`."""
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
