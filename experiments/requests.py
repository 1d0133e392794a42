"""Stored requests: a plan on disk, readable without planning again and without torch.

`status`, reports, MLflow and cluster jobs read the same file, `<store>/requests/<experiment>.<profile>.json`.
"""

from __future__ import annotations

import functools
import logging
import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from experiments.specs import Experiment
from experiments.specs.own_file import keep_copy
from experiments.store import StoredArtifact, StoreError, read_json, write_json

log = logging.getLogger(__name__)

VERSION = 2

GPU_FLOPS = 33e12
"""Useful operations per second of one GPU: a fifth of an RTX 4090's dense fp16 peak (165e12)."""


class StoredRow(BaseModel, frozen=True, extra="forbid"):
    """A row at one seed, as the names of its artifacts."""

    row: str
    seed: int
    training: tuple[str, ...]
    """The training stages, in order."""
    evaluation: str
    analyses: tuple[str, ...] = ()

    @property
    def measurements(self) -> tuple[str, ...]:
        """The artifacts that measure the row: its evaluation and the analyses of the experiment."""
        return (self.evaluation, *self.analyses)


class StoredRequest(BaseModel, frozen=True, extra="forbid"):
    """A plan, and the command that requested it."""

    version: int = VERSION
    command: str
    """The command line, ready to be typed again."""
    data: str
    """Name and size of the data set."""
    requested: str
    """Time of the request, in ISO format."""
    experiment: Experiment
    profile: str
    meaningless: bool
    """True for the smoke profile, whose numbers show only that the code runs."""
    threads: int | None
    seeds: tuple[int, ...]
    overrides: dict[str, Any]
    recipe: dict[str, Any]
    """The configuration without the changes of single rows."""
    recipes: dict[str, dict[str, Any]]
    """The configuration of each row."""
    primary_extractor: str
    """Label of the feature space that the profile chose for its headline verdicts before any result."""
    calibration: StoredArtifact | None = None
    """The calibration of the feature spaces, which need not be among the artifacts of this request."""
    trained_in: tuple[str, ...] = ()
    """Labels of the feature spaces whose network is also used to train a row."""
    metrics: dict[str, dict[str, Any]]
    """The self-description of each metric that is measured, published or claimed."""
    facts: dict[str, dict[str, str]]
    """Facts about each row at this profile, such as its tokens, by the headings of `Experiment.facts`."""
    settings: tuple[dict[str, Any], ...] = ()
    """The published configuration next to the profile's, for an experiment that has settings."""
    costs: dict[str, dict[str, dict[str, float]]] = {}
    """Counted operations by row and stage, for an experiment whose costs are a result."""
    source: dict[str, str] = {}
    """The file of an experiment from outside the package: `name`, `path` and `sha256`."""
    artifacts: tuple[StoredArtifact, ...]
    """Each artifact once, inputs before the artifacts made from them."""
    rows: tuple[StoredRow, ...]
    reference: str | None
    """Name of the evaluation of the teacher itself and of the real images."""

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment.name

    @functools.cached_property
    def by_name(self) -> dict[str, StoredArtifact]:
        """The artifacts by name."""
        return {artifact.name: artifact for artifact in self.artifacts}

    def needed_by(self, row: StoredRow) -> tuple[StoredArtifact, ...]:
        """The artifacts that a row needs, in the order of the request."""
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
        """Number of rows and seeds that use each artifact, directly or indirectly."""
        return Counter(artifact.name for row in self.rows for artifact in self.needed_by(row))

    def command_for(self, seeds: Iterable[int]) -> str:
        """The command line that requests this experiment with other seeds."""
        words = shlex.split(self.command)
        if "all" in words:
            words[words.index("all")] = self.name
        if "--seeds" in words:
            place = words.index("--seeds")
            del words[place : place + 2]
        words = [word for word in words if not word.startswith("--seeds=")]
        numbers = sorted(set(seeds))
        asked = str(len(numbers)) if numbers == list(range(len(numbers))) else ",".join(map(str, numbers))
        return shlex.join([*words, "--seeds", asked])

    def save(self, store: Path) -> Path:
        """Write the request, replacing an earlier one for the same experiment and profile."""
        path = store / "requests" / f"{self.name}.{self.profile}.json"
        self.write(path)
        return path

    def write(self, path: Path) -> None:
        """Write the request to `path`, next to a copy of the user's own file, if there is one."""
        if self.source:
            keep_copy(self.source, path.parent)
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> StoredRequest:
        """Read a request from a file.

        Raises:
            StoreError: the file is damaged, or another version of this package wrote it.
            FileNotFoundError: there is no such file.
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
    """All requests of a store, latest first; unreadable ones are logged and left out."""
    requests = []
    for path in sorted((store / "requests").glob("*.json")):
        try:
            requests.append(StoredRequest.load(path))
        except StoreError as error:
            log.warning("left out: %s", error)
    return sorted(requests, key=lambda request: request.requested, reverse=True)
