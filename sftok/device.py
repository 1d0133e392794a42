"""Where to compute: the CPU or a GPU, as asked, and never another than asked."""

from __future__ import annotations

import os
from typing import Literal

import torch

from sftok.config import ConfigError

DeviceName = Literal["cpu", "cuda"]

CPU = torch.device("cpu")


class DeviceError(ConfigError):
    """The device that was asked for is not there; one line with the remedy."""


def open_device(name: DeviceName, *, tf32: bool = True, local_rank: int = 0) -> torch.device:
    """The device of that name, set up for deterministic work as far as its kernels go.

    Args:
        name: "cuda" is one GPU, of which a machine may have several.
        tf32: whether a GPU may round the inputs of float32 products to 10 bits (Table 6: it may).
        local_rank: the number of this process on its machine, and so of its GPU.

    Raises:
        DeviceError: torch sees no GPU.
    """
    if name == "cpu":
        return CPU
    require_device(name)
    # cuBLAS reads it when it starts; without it its sums depend on timing.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Only warned of: the gradient of a bicubic or area resize, on which stage 3 relies, has no such kernel.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    # A launcher may show each process one GPU, or all of them to all.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def require_device(name: DeviceName) -> None:
    """Nothing, if the device is there.

    Raises:
        DeviceError: it is not.
    """
    if name == "cuda" and not torch.cuda.is_available():
        built = "sees no GPU" if torch.version.cuda else "is a build for CPUs only"
        raise DeviceError(
            f"device = 'cuda': this machine's torch {torch.__version__} {built}; "
            "run where there is one, or choose the CPU with --set device=cpu"
        )


def describe_device(name: DeviceName) -> str:
    """For people: `cpu`, or the model of the GPU."""
    return torch.cuda.get_device_name() if name == "cuda" else name
