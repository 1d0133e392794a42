"""A process that makes an artifact and is killed at a step of it; apart from the tests, to be pickled."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from experiments.artifacts import Artifact
from experiments.running.datasets import DataSets
from experiments.running.runner import ensure
from experiments.running.stop import Stop
from experiments.store import Store
from sftok.data import DataConfig


class KillAt:
    """A listener that ends its own process, as `kill -9` does, when so many steps are done."""

    def __init__(self, step: int):
        self.step = step

    def started(self, artifact: Artifact) -> None: ...

    def advanced(self, artifact: Artifact, done: int, total: int, remaining: float | None) -> None:
        if done == self.step:
            os.kill(os.getpid(), signal.SIGKILL)

    def finished(self, artifact: Artifact, result: Mapping[str, Any]) -> None: ...

    def failed(self, artifact: Artifact, reason: str) -> None: ...

    def waiting(self, artifact: Artifact, owner: Mapping[str, Any]) -> None: ...


def make_and_die(artifact: Artifact, store: Path, data: DataConfig, step: int, threads: int) -> None:
    """Make `artifact`, whose inputs are there, up to `step` of its steps."""
    torch.set_num_threads(threads)
    ensure(artifact, Store(store), DataSets(data), [KillAt(step)], Stop())
