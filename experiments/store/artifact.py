"""An artifact as a request names it: all that readers and workers need to know, without its code."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class StoredArtifact(BaseModel, frozen=True, extra="forbid"):
    """An artifact as a request names it."""

    name: str
    """Folder name: `kind-key`."""
    kind: str
    version: int
    stage: str
    """What it does, more closely than its kind: `warm-up`, `alignment`, `evaluation`."""
    label: str
    inputs: dict[str, str]
    """Names of the artifacts that it is made from, by role."""
    data: dict[str, str]
    """Fingerprints of the data that it reads, by split."""
    device: str
    units: int
    """Units of work: training steps, or 1."""
    images: int = 0
    """Training images that it sees in all."""
    record: dict[str, Any]
    """Its fields, to make it from (`experiments.artifacts.load`)."""

    @property
    def key(self) -> str:
        """The hash of all that decides its content."""
        return self.name.rpartition("-")[2]

    def __hash__(self) -> int:
        return hash(self.name)
