"""Moves training batches to the device before they are needed, and detects waiting for images."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from sftok.data.batches import Batch
from sftok.training.stages.base import Stage

WINDOW = 200
"""Number of updates over which waiting time is measured."""

TOLERATED = 0.1
"""Share of the time that may be spent waiting."""

logger = logging.getLogger(__name__)

Ready = tuple[Batch, dict[str, Tensor]]
"""A batch on the device, and the output of `Stage.ahead` for it."""


class Feed:
    """Provides the batches of one update after another.

    While a GPU works on an update, another of its streams receives the batches of the next one and computes
    `Stage.ahead` for them.
    """

    def __init__(self, batches: Iterator[Batch], count: int, stage: Stage, device: torch.device):
        """Group `count` batches into an update."""
        self._batches, self._count, self._stage, self._device = batches, count, stage, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._ready: list[Ready] = []
        self._waited, self._taken, self._since = 0.0, 0, time.perf_counter()
        self._warned = False

    def take(self) -> list[Ready]:
        """Return the batches of the next update."""
        ready = self._ready or self._load()
        self._ready = []
        if self._stream is not None:
            current = torch.cuda.current_stream(self._device)
            current.wait_stream(self._stream)
            for batch, ahead in ready:
                for tensor in (batch.images, batch.labels, *ahead.values()):
                    tensor.record_stream(current)
        self._watch()
        return ready

    def look_ahead(self) -> None:
        """Start loading the next batches; call this after the GPU has received the work of this update."""
        with contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            self._ready = self._load()

    def _load(self) -> list[Ready]:
        return [self._one() for _ in range(self._count)]

    def _one(self) -> Ready:
        started = time.perf_counter()
        batch = next(self._batches)
        self._waited += time.perf_counter() - started
        batch = batch.to(self._device)
        return batch, dict(self._stage.ahead(batch))

    def _watch(self) -> None:
        """Log once if training waits for images."""
        self._taken += 1
        if self._taken % WINDOW:
            return
        now = time.perf_counter()
        share = self._waited / (now - self._since)
        if share > TOLERATED and not self._warned:
            self._warned = True
            logger.warning(
                "the images are the bottleneck: %.0f %% of the last %d updates were spent waiting for them; "
                "use more CPU cores, or shards at the size of training (python -m sftok.data.make_shards)",
                100 * share,
                WINDOW,
            )
        self._waited, self._since = 0.0, now
