"""A job's log: what it makes, how far it is now and then, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from experiments.artifacts import Artifact

EVERY_SECONDS = 60.0


class LogLines:
    """The listener of a job: plain lines with the time of day."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def started(self, artifact: Artifact) -> None:
        """Say what."""
        self._say(f"{artifact.label} ({artifact.name}): started")

    def advanced(self, artifact: Artifact, done: int, total: int, remaining: float | None) -> None:
        """Say how far, now and then."""
        if time.monotonic() - self._said >= EVERY_SECONDS:
            left = "" if remaining is None else f", {remaining / 60:.0f} min left"
            self._say(f"{artifact.label}: {done} of {total}{left}")

    def finished(self, artifact: Artifact, result: Mapping[str, Any]) -> None:
        """Say that it is done."""
        self._say(f"{artifact.label}: done in {result['provenance']['seconds']:.0f} s")

    def failed(self, artifact: Artifact, reason: str) -> None:
        """Say why."""
        self._say(f"{artifact.label}: FAILED: {reason}")

    def waiting(self, artifact: Artifact, owner: Mapping[str, Any]) -> None:
        """Say who else makes it."""
        self._say(f"{artifact.label}: process {owner['pid']} on {owner['host']} makes it; waiting")

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
