"""Monitors of training, which write its curve and progress to files that `status` reads."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.store import METRICS, PROGRESS, write_json

WRITE_EVERY_SECONDS = 2.0

OnProgress = Callable[[int, int, float | None], None]
"""Called with units done, units in total, and the expected seconds left (None while unknown)."""


class FileMonitor:
    """The `Monitor` of the training loop, and the progress callback of all other work."""

    def __init__(
        self,
        folder: Path,
        on_progress: OnProgress,
        stop_requested: Callable[[], bool],
        on_preparing: Callable[[str], None] = lambda what: None,
    ):
        self.folder = folder
        self.should_stop = stop_requested
        self._on_progress, self._on_preparing = on_progress, on_preparing
        self._curve = folder / METRICS
        self._first: tuple[float, int] | None = None
        self._written = 0.0

    def progress(self, done: int, total: int) -> None:
        """Report that `done` of `total` units are complete."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        since, start = self._first
        remaining = (now - since) / (done - start) * (total - done) if done > start else None
        self._on_progress(done, total, remaining)
        if now - self._written >= WRITE_EVERY_SECONDS:
            self._written = now
            self._write({"done": done, "total": total, "remaining_seconds": remaining})

    def preparing(self, what: str) -> None:
        """Report that the next unit takes much longer than the others; `what` says why."""
        self._on_preparing(what)
        self._write({"preparing": what})

    def record(self, values: dict[str, Any]) -> None:
        """Append a line to the training curve."""
        with self._curve.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def resumed(self, step: int) -> None:
        """Drop partial lines and lines after `step`, which the loop logs again."""
        kept = []
        if self._curve.exists():
            for line in self._curve.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
        temporary = self._curve.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        temporary.replace(self._curve)

    def _write(self, progress: dict[str, Any]) -> None:
        # Progress is only informative, so a full disk must not end the training here.
        with contextlib.suppress(OSError):
            write_json(self.folder / PROGRESS, {**progress, "updated": time.time()})


class SilentMonitor:
    """Writes nothing, because the first process does; a signal to any process stops them all."""

    def __init__(self, stop_requested: Callable[[], bool]):
        self.should_stop = stop_requested

    def progress(self, done: int, total: int) -> None:
        """Left to the first process."""

    def record(self, values: dict[str, Any]) -> None:
        """Left to the first process."""

    def preparing(self, what: str) -> None:
        """Left to the first process."""

    def resumed(self, step: int) -> None:
        """Left to the first process."""
