"""An artifact as stored in a request: everything that readers and workers need, without its code."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class StoredArtifact(BaseModel, frozen=True, extra="forbid"):
    """An artifact as stored in a request."""

    name: str
    """Folder name: `kind-key`."""
    kind: str
    version: int
    stage: str
    """What it does, more specific than its kind: `warm-up`, `alignment`, `evaluation`."""
    label: str
    inputs: dict[str, str]
    """Names of the artifacts it is made from, by role."""
    data: dict[str, str]
    """Fingerprints of the data it reads, by split."""
    device: str
    units: int
    """Units of work: training steps, or 1."""
    images: int = 0
    """Number of training images it sees in total."""
    record: dict[str, Any]
    """Its fields, from which `experiments.artifacts.load` rebuilds it."""

    @property
    def key(self) -> str:
        """The hash of everything that determines its content."""
        return self.name.rpartition("-")[2]

    def __hash__(self) -> int:
        return hash(self.name)
