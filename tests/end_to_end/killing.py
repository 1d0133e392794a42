"""A process that makes an artifact and is killed at a step of it; apart from the tests, to be pickled."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from experiments.artifacts import Artifact
from experiments.executors.datasets import DataSets
from experiments.executors.events import Event, Progress
from experiments.executors.inline import Runner
from experiments.store import Store
from sftok.data import DataConfig


class KillAt:
    """A listener that ends its own process, as `kill -9` does, when so many steps are done."""

    def __init__(self, step: int):
        self.step = step

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.done == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def make_and_die(artifact: Artifact, store: Path, data: DataConfig, step: int, threads: int) -> None:
    """Make `artifact`, whose inputs are there, up to `step` of its steps."""
    torch.set_num_threads(threads)
    Runner(Store(store), DataSets(data).load, [KillAt(step)]).ensure(artifact)
