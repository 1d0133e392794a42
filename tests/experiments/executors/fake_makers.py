"""Makers that compute almost nothing, found by workers and jobs by name; the config says what they do."""

from __future__ import annotations

import errno
import os
import signal
import time
from typing import Any

from experiments.tasks.base import Maker, Task
from sftok.training.interruption import TrainingInterrupted


def find(kind: str) -> Maker:
    """One maker for all kinds."""
    return make


def make(task: Task) -> dict[str, Any]:
    """Note the attempt, then do what `config["do"]` says."""
    with (task.folder.parents[1] / "attempts").open("a") as log:
        log.write(f"{task.artifact.label}\n")
    return ACTIONS[task.config.get("do", "nothing")](task)


def nothing(task: Task) -> dict[str, Any]:
    return {"inputs": sorted(path.name for path in task.inputs.values())}


def say_gpu(task: Task) -> dict[str, Any]:
    """Wait until as many workers as the config says have one, so that none makes two."""
    attempts = task.folder.parents[1] / "attempts"
    deadline = time.monotonic() + 60
    while len(attempts.read_text().split()) < task.config["together"] and time.monotonic() < deadline:
        time.sleep(0.02)
    return {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES")}


def fail(task: Task) -> dict[str, Any]:
    print("a line of the log", flush=True)
    raise ValueError("it cannot be done")


def fill(task: Task) -> dict[str, Any]:
    raise OSError(errno.ENOSPC, "No space left on device")


def die(task: Task) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def eat(task: Task) -> dict[str, Any]:
    hoard = [b"x" * 50_000_000 for _ in range(40)]
    time.sleep(60)
    return {"eaten": len(hoard)}


def sleep(task: Task) -> dict[str, Any]:
    """Take time and ignore every request to stop."""
    time.sleep(task.config["seconds"])
    return {}


def start_over(task: Task) -> dict[str, Any]:
    """Like an evaluation: can be stopped, and then starts over."""
    for tick in range(10 * task.config["seconds"]):
        task.report(tick / (10 * task.config["seconds"]))
        time.sleep(0.1)
    return {}


def count(task: Task) -> dict[str, Any]:
    """Like training: count steps in a checkpoint, until done or asked to stop."""
    checkpoint = task.folder / "checkpoint.safetensors"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0
    resumed = step
    while step < task.artifact.steps:
        time.sleep(0.05)
        step += 1
        task.monitor.progress(step, task.artifact.steps)
        if step % 10 == 0 or task.monitor.should_stop():
            temporary = checkpoint.with_suffix(".tmp")
            temporary.write_text(str(step))
            temporary.replace(checkpoint)
        if task.monitor.should_stop() and step < task.artifact.steps:
            raise TrainingInterrupted(f"stopped after {step} of {task.artifact.steps} steps")
    return {"resumed_from": resumed, "counted": step}


def ranks(task: Task) -> dict[str, Any]:
    """Sum the ranks over the job's own group."""
    import torch
    import torch.distributed as dist

    total = torch.tensor([float(dist.get_rank() + 1)])
    dist.all_reduce(total)
    world = dist.get_world_size()
    return {"world": world, "total": float(total)}


def fail_in_second(task: Task) -> dict[str, Any]:
    """One process fails, and the other does not notice, as if it waited for the GPU."""
    if task.world.rank == 1:
        raise ValueError("image 7 cannot be read")
    time.sleep(600)
    return {}


ACTIONS = {
    "nothing": nothing,
    "say_gpu": say_gpu,
    "fail": fail,
    "fill": fill,
    "die": die,
    "eat": eat,
    "sleep": sleep,
    "start_over": start_over,
    "count": count,
    "ranks": ranks,
    "fail_in_second": fail_in_second,
}
