"""What training reports while it runs: its curve and progress, in files that `status` reads."""

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
    """The `Monitor` of the training loop, and the progress callback of everything else."""

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
        """`done` of `total` units are made."""
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
        """The next unit takes much longer than the others; `what` says why."""
        self._on_preparing(what)
        self._write({"preparing": what})

    def record(self, values: dict[str, Any]) -> None:
        """Append a line to the training curve."""
        with self._curve.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def resumed(self, step: int) -> None:
        """Drop the lines after `step`, and a torn one: the loop logs them again."""
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
        # Only people read it: a full disk must not end the training here.
        with contextlib.suppress(OSError):
            write_json(self.folder / PROGRESS, {**progress, "updated": time.time()})


class SilentMonitor:
    """Writes nothing, as the first process does that; a signal to any process stops them all."""

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
