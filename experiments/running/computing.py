"""How a process computes, so that a seed fixes every bit on one kind of machine, whichever executor runs it.

Sums over threads round differently for another number of threads: a profile for CPUs fixes that number.
"""

from __future__ import annotations

import os

import torch

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


def threads_of(profile_threads: int | None, share: int) -> int:
    """Threads of a process that another one starts: what a person set, else the profile's, else its share."""
    return int(os.environ.get("OMP_NUM_THREADS", profile_threads or share))


def visible_gpus() -> list[str]:
    """The GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them: by number, or as it says now."""
    count = torch.cuda.device_count()
    named = os.environ.get(VISIBLE_GPUS)
    # CUDA ends the list at the first name that it does not know.
    return [str(number) for number in range(count)] if named is None else named.split(",")[:count]


def prepare_torch(threads: int | None) -> None:
    """Deterministic operations only, on a profile's number of threads, or on what OMP_NUM_THREADS says."""
    torch.use_deterministic_algorithms(True)
    if threads is not None and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads)
