"""Measures how fast a tokenizer encodes and decodes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from sftok.device import wait_for


@torch.no_grad()
def images_per_second(
    work: Callable[[], object], images: int, device: torch.device, repeats: int = 5
) -> float:
    """Return the rate at which `work` processes `images`: the median of `repeats` calls after one warm-up."""
    seconds = []
    for _ in range(repeats + 1):
        wait_for(device)
        started = time.perf_counter()
        work()
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return images / statistics.median(seconds[1:])
