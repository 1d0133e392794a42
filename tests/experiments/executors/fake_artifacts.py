"""Artifacts that compute almost nothing: their `config` says what they do.

Requests name this file as their source, so workers and jobs import it as they import a user's own file.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from sftok.training.interruption import TrainingInterrupted


class Fake(Artifact):
    """What the fake kinds have in common."""

    config: dict[str, Any] = {}
    source: Artifact | None = None
    steps: int = 1

    def make(self, context: Context) -> dict[str, Any]:
        """Note the attempt, then do what `config["do"]` says."""
        with (context.store.root / "attempts").open("a") as log:
            log.write(f"{self.label}\n")
        return ACTIONS[self.config.get("do", "nothing")](self, context)

    @property
    def training_batch(self) -> int | None:
        """`config["batch"]`."""
        return self.config.get("batch")


class FakeTeacher(Fake, kind="fake_teacher", parallel=True):
    """Made by several processes."""


class FakeStage(Fake, kind="fake_stage", parallel=True):
    """Made by several processes."""


class FakeCodes(Fake, kind="fake_codes"):
    """Made by one process."""


class FakeEvaluation(Fake, kind="fake_evaluation"):
    """Made by one process."""


def nothing(artifact: Fake, context: Context) -> dict[str, Any]:
    return {"inputs": [context.folder_of(each).name for each in artifact.inputs.values()]}


def say_gpu(artifact: Fake, context: Context) -> dict[str, Any]:
    """Wait until as many workers as the config says have one, so that none makes two."""
    attempts = context.store.root / "attempts"
    deadline = time.monotonic() + 60
    while len(attempts.read_text().split()) < artifact.config["together"] and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}


def fail(artifact: Fake, context: Context) -> dict[str, Any]:
    print("a line of the log", flush=True)
    raise ValueError("it cannot be done")


def fill(artifact: Fake, context: Context) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, "No space left on device")


def die(artifact: Fake, context: Context) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def eat(artifact: Fake, context: Context) -> dict[str, Any]:
    hoard = [b"x" * 50_000_000 for _ in range(40)]
    time.sleep(60)
    return {"eaten": len(hoard)}


def sleep(artifact: Fake, context: Context) -> dict[str, Any]:
    """Take time and ignore every request to stop."""
    time.sleep(artifact.config["seconds"])
    return {}


def start_over(artifact: Fake, context: Context) -> dict[str, Any]:
    """Like an evaluation: can be stopped, and then starts over."""
    ticks = 10 * artifact.config["seconds"]
    for tick in range(ticks):
        context.report(tick / ticks)
        time.sleep(0.1)
    return {}


def count(artifact: Fake, context: Context) -> dict[str, Any]:
    """Like training: count steps in a checkpoint, until done or asked to stop."""
    checkpoint = context.folder / "checkpoint.safetensors"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    resumed, stop = step, context.monitor.should_stop
    while step < artifact.steps:
        time.sleep(0.05)
        step += 1
        context.monitor.progress(step, artifact.steps)
        if step % 10 == 0 or stop():
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(str(step))
            temporary.replace(checkpoint)
        if stop() and step < artifact.steps:
            raise TrainingInterrupted(f"stopped after {step} of {artifact.steps} steps")
    return {"resumed_from": resumed, "counted": step}


def ranks(artifact: Fake, context: Context) -> dict[str, Any]:
    """Sum the ranks over the job's own group."""
    import torch
    import torch.distributed as dist

    total = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(total)
    return {"world": dist.get_world_size(), "total": float(total)}


def fail_in_second(artifact: Fake, context: Context) -> dict[str, Any]:
    """One process fails, and the other does not notice, as if it waited for the GPU."""
    if context.world.rank == 1:
        raise ValueError("image 7 cannot be read")
    time.sleep(600)
    return {}


ACTIONS: dict[str, Callable[[Fake, Context], dict[str, Any]]] = {
    function.__name__: function
    for function in (
        *(nothing, say_gpu, fail, fill, die, eat, sleep, start_over, count, ranks, fail_in_second),
    )
}
