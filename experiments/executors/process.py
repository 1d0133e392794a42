"""How a process computes: its threads, its GPUs, deterministic operations, and the record of all that.

Sums over threads round differently with another number of threads; so a profile for CPUs fixes that number,
and a seed gives the same bits whichever executor runs it.
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
    """Threads of a process that this one starts: OMP_NUM_THREADS, else the profile's, else its `share`."""
    return int(os.environ.get("OMP_NUM_THREADS", profile_threads or share))


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that this process sees, by number or by what CUDA_VISIBLE_DEVICES calls them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE_GPUS)
    # CUDA ends the list at the first name that it does not know.
    return [str(number) for number in range(count)] if named is None else named.split(",")[:count]


def prepare_torch(threads: int | None) -> None:
    """Allow deterministic operations only, on OMP_NUM_THREADS threads, else the profile's `threads`."""
    import torch

    torch.use_deterministic_algorithms(True)
    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)


@functools.cache
def provenance() -> dict[str, Any]:
    """Commit, package versions, CPU, threads and host of this process."""
    # What is made without torch should not wait for its import.
    torch = sys.modules.get("torch")
    return {
        "commit": checkout_commit(),
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
