"""Settings of a process (threads, GPUs, deterministic operations) and their record.

Sums round differently with another number of threads. A profile for CPUs therefore fixes that number, so that
a seed gives the same bits with every executor.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

from experiments.executors.snapshot import checkout_commit

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
PACKAGES = ("sftok", "torch", "torchvision", "timm", "torch-fidelity", "numpy")


def threads_of(profile_threads: int | None, share: int) -> int:
    """Threads of a child process: OMP_NUM_THREADS, else the profile's number, else `share`."""
    return int(os.environ.get("OMP_NUM_THREADS", profile_threads or share))


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs visible to this process, by number or by their name in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE_GPUS)
    # CUDA ends the list at the first unknown name.
    return [str(number) for number in range(count)] if named is None else named.split(",")[:count]


def prepare_torch(threads: int | None) -> None:
    """Require deterministic operations, on OMP_NUM_THREADS threads or else the profile's `threads`."""
    import torch

    torch.use_deterministic_algorithms(True)
    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)


running_commit = functools.cache(checkout_commit)
"""The commit of the code in this process, as of the first call; the checkout may change during a run."""


@functools.cache
def provenance() -> dict[str, Any]:
    """Commit, package versions, CPU, threads and host of this process."""
    # An artifact made without torch should not wait for its import.
    torch = sys.modules.get("torch")
    return {
        "commit": running_commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "cpu": _cpu(),
        "threads": torch.get_num_threads() if torch else 1,
        "host": platform.node(),
    }


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
