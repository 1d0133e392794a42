"""Number formats of a training step, and how a CPU is set up to run it fast.

What attention does in bf16 on a CPU stands in `sftok.models.layers.attend`.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import Literal

import torch

Precision = Literal["fp32", "bf16", "fp16"]
"""fp16 is bf16 with more digits and a small range: its losses are scaled (`scaler`)."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


@contextlib.contextmanager
def autocast(precision: Precision, device: torch.device) -> Iterator[None]:
    """The context in which a forward pass runs at `precision` on `device`."""
    if precision == "fp32":
        yield
    else:
        with torch.autocast(device.type, _DTYPES[precision]):
            yield


SMALLEST_SCALE = 1.0
"""With a smaller factor than this a gradient that overflows is no matter of scale."""


def scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """What multiplies losses, so that small gradients do not vanish in fp16; otherwise it does nothing.

    An update whose gradient overflows is skipped, and the factor halved; after 2,000 good ones it is doubled.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks: giving them back costs a page fault per page, every step."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
