"""Follows a task: its training curve and progress go to files, which a `status` in another process reads."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.store import METRICS, PROGRESS, write_json

WRITE_EVERY_SECONDS = 2.0

ProgressListener = Callable[[int, int, float | None], None]
"""Called with units done, units in all, and the expected seconds left (None while unknown)."""


class FileMonitor:
    """The `Monitor` of the training loop, and the progress callback of everything else."""

    def __init__(self, folder: Path, listener: ProgressListener, stop_requested: Callable[[], bool]):
        self.folder = folder
        self._listener = listener
        self._stop_requested = stop_requested
        self._curve = folder / METRICS
        self._first: tuple[float, int] | None = None
        self._written = 0.0

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` units are behind us."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        since, start = self._first
        remaining = (now - since) / (done - start) * (total - done) if done > start else None
        self._listener(done, total, remaining)
        if now - self._written >= WRITE_EVERY_SECONDS:
            self._written = now
            # Only for people to read: a full disk must not end the training through it.
            with contextlib.suppress(OSError):
                write_json(
                    self.folder / PROGRESS,
                    {"done": done, "total": total, "remaining_seconds": remaining, "updated": time.time()},
                )

    def record(self, values: dict[str, Any]) -> None:
        """Append one line to the training curve."""
        with self._curve.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def resumed(self, step: int) -> None:
        """Drop the lines after `step`, a half-written one included: the loop will write them again."""
        kept = []
        if self._curve.exists():
            for line in self._curve.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    if json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
        temporary = self._curve.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        temporary.replace(self._curve)

    def should_stop(self) -> bool:
        """True once the runner was asked to stop."""
        return self._stop_requested()
