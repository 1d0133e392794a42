"""Number formats of a training step, and CPU settings for speed.

See `sftok.models.layers.attend` for attention in bf16 on a CPU.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import Literal

import torch

from sftok.config import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
"""fp16 has more precision but less range than bf16, so its losses are scaled (`scaler`)."""

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def require_precision(precision: Precision, device: torch.device) -> None:
    """Reject a number format that the GPU would only emulate.

    Raises:
        ConfigError: the format is not supported; the message names the GPU and the remedy.
    """
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise ConfigError(
            f"precision = 'bf16': {torch.cuda.get_device_name(device)} does not support it; "
            "choose fp16 or fp32"
        )


@contextlib.contextmanager
def autocast(precision: Precision, device: torch.device) -> Iterator[None]:
    """Return the context in which a forward pass runs at `precision` on `device`."""
    if precision == "fp32":
        yield
    else:
        with torch.autocast(device.type, _DTYPES[precision]):
            yield


SMALLEST_SCALE = 1.0
"""If a gradient overflows even at this scale, scaling is not the cause."""


def scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Return a scaler that keeps small gradients from vanishing in fp16; it is disabled otherwise.

    An update whose gradient overflows is skipped and halves the scale; 2,000 good ones in a row double it.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks; returning them costs a page fault per page and step."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
            libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
