"""What a run tells while it goes on: to a person, a tracker, a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from experiments.artifacts import Artifact


class Listener(Protocol):
    """Told what happens; shows it, tracks it or renders it. A subclass leaves out what it has no use for."""

    def started(self, artifact: Artifact) -> None:
        """The artifact is being made."""
        return

    def advanced(self, artifact: Artifact, done: int, total: int, remaining: float | None) -> None:
        """`done` of `total` units of it are made; `remaining` seconds are left, as far as known."""
        return

    def finished(self, artifact: Artifact, result: Mapping[str, Any]) -> None:
        """The artifact is done."""
        return

    def failed(self, artifact: Artifact, reason: str) -> None:
        """The attempt failed, or an input did."""
        return

    def waiting(self, artifact: Artifact, owner: Mapping[str, Any]) -> None:
        """Another process makes the artifact."""
        return
