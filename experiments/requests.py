"""What was asked for, on disk: all that a reader needs, without planning again and without torch.

`status`, reports, MLflow and cluster jobs read the same file, `<store>/requests/<experiment>.<profile>.json`.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from experiments.specs import Experiment
from experiments.specs.own_file import keep_copy
from experiments.store import StoredArtifact, StoreError, read_json, write_json

log = logging.getLogger(__name__)

VERSION = 2

GPU_FLOPS = 33e12
"""Useful operations per second of one GPU: a fifth of an RTX 4090's peak in fp16 (165e12, dense)."""


class StoredRow(BaseModel, frozen=True, extra="forbid"):
    """A row at one seed, by the names of its artifacts."""

    row: str
    seed: int
    training: tuple[str, ...]
    """Its training stages, in order."""
    evaluation: str
    analyses: tuple[str, ...] = ()

    @property
    def measurements(self) -> tuple[str, ...]:
        """What measures it: the evaluation, and the analyses that the experiment asks for."""
        return (self.evaluation, *self.analyses)


class StoredRequest(BaseModel, frozen=True, extra="forbid"):
    """A plan, and how it came about."""

    version: int = VERSION
    command: str
    """The line that a person can type again."""
    data: str
    """Name and size of the data set."""
    requested: str
    """ISO time."""
    experiment: Experiment
    profile: str
    meaningless: bool
    """True for the smoke profile: its numbers say only that the code runs."""
    threads: int | None
    seeds: tuple[int, ...]
    overrides: dict[str, Any]
    recipe: dict[str, Any]
    """The configuration without the rows' own changes."""
    recipes: dict[str, dict[str, Any]]
    """The configuration of each row."""
    primary_extractor: str
    """Label of the feature space that the profile names for its headline verdicts, before any result."""
    calibration: StoredArtifact | None = None
    """What puts the feature spaces to the test; it need not be among the artifacts of this request."""
    trained_in: tuple[str, ...] = ()
    """Labels of the feature spaces whose network a row's training uses as well."""
    metrics: dict[str, dict[str, Any]]
    """How each metric that is measured, published or claimed describes itself."""
    facts: dict[str, dict[str, str]]
    """What each row is at this profile, by the headings of `Experiment.facts`: its tokens, its codes."""
    settings: tuple[dict[str, Any], ...] = ()
    """The published configuration beside the profile's own, for an experiment that has settings."""
    costs: dict[str, dict[str, dict[str, float]]] = {}
    """Counted operations by row and stage, for an experiment whose costs are a result."""
    source: dict[str, str] = {}
    """The file of an experiment from outside the package: `name`, `path` and `sha256`."""
    artifacts: tuple[StoredArtifact, ...]
    """Inputs before what is made from them, each once."""
    rows: tuple[StoredRow, ...]
    reference: str | None
    """The evaluation of the teacher itself and of the real images."""

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @functools.cached_property
    def by_name(self) -> dict[str, StoredArtifact]:
        """The artifacts by name."""
        return {artifact.name: artifact for artifact in self.artifacts}

    def needed_by(self, row: StoredRow) -> tuple[StoredArtifact, ...]:
        """All artifacts that a row needs, in the order of the request."""
        needed: set[str] = set()
        left = list(row.measurements)
        while left:
            name = left.pop()
            if name not in needed:
                needed.add(name)
                left += self.by_name[name].inputs.values()
        return tuple(artifact for artifact in self.artifacts if artifact.name in needed)

    @functools.cached_property
    def users(self) -> Counter[str]:
        """How many rows and seeds use each artifact, directly or through others."""
        return Counter(artifact.name for row in self.rows for artifact in self.needed_by(row))

    def save(self, store: Path) -> Path:
        """Write the request; it replaces an earlier one for the same experiment and profile."""
        path = store / "requests" / f"{self.name}.{self.profile}.json"
        self.write(path)
        return path

    def write(self, path: Path) -> None:
        """Write the request to `path`, and beside it a copy of the user's own file, if there is one."""
        if self.source:
            keep_copy(self.source, path.parent)
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> StoredRequest:
        """The request in a file.

        Raises:
            StoreError: the file is damaged, or another version of this package wrote it.
            FileNotFoundError: there is none.
        """
        remedy = "delete it and run the command again: finished artifacts are kept"
        content = read_json(path, remedy)
        if content is None:
            raise FileNotFoundError(path)
        try:
            if content.get("version") != VERSION:
                raise ValueError(f"version {content.get('version', 1)}, not {VERSION}")
            request = cls.model_validate(content)
            for row in request.rows:
                request.needed_by(row)
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise StoreError(f"{path}: damaged or of another version ({reason}); {remedy}") from None
        return request


def stored_requests(store: Path) -> list[StoredRequest]:
    """All requests of a store, the latest first; a line says which of them cannot be read."""
    requests = []
    for path in sorted((store / "requests").glob("*.json")):
        try:
            requests.append(StoredRequest.load(path))
        except StoreError as error:
            log.warning("left out: %s", error)
    return sorted(requests, key=lambda request: request.requested, reverse=True)
