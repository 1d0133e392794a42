"""Where to compute: the CPU or a GPU, exactly as requested."""

from __future__ import annotations

import os
from typing import Literal

import torch

from sftok.config import ConfigError

DeviceName = Literal["cpu", "cuda"]

CPU = torch.device("cpu")


class DeviceError(ConfigError):
    """The requested device is missing; one line with the remedy."""


def open_device(name: DeviceName, *, tf32: bool = True, local_rank: int = 0) -> torch.device:
    """Return the named device, set up for deterministic computation.

    An operation without a deterministic kernel raises an error. Asking PyTorch only to warn would also select
    its nondeterministic attention kernels.

    Args:
        name: "cuda" selects one GPU, even if the machine has several.
        tf32: whether a GPU may round the inputs of float32 products to 10 bits (Table 6: yes).
        local_rank: the rank of this process on its machine, which selects its GPU.

    Raises:
        DeviceError: PyTorch sees no GPU.
    """
    if name == "cpu":
        return CPU
    require_device(name)
    # cuBLAS reads this when it starts; otherwise its sums depend on timing.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Filling memory that an operation overwrites anyway would cost an extra pass over it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    # A launcher may show each process only its own GPU, or all of them.
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def require_device(name: DeviceName) -> None:
    """Check that the device is available.

    Raises:
        DeviceError: the device is missing.
    """
    if name == "cuda" and not torch.cuda.is_available():
        built = "sees no GPU" if torch.version.cuda else "was built for CPUs only"
        raise DeviceError(
            f"device = 'cuda': PyTorch {torch.__version__} {built}; "
            "run on a machine with a GPU, or choose the CPU with --set device=cpu"
        )


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe_device(name: DeviceName) -> str:
    """A label for people: `cpu`, or the model of the GPU."""
    return torch.cuda.get_device_name() if name == "cuda" else name


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy `tensor` to `device` without blocking; a copy to a GPU goes through pinned memory.

    An ordinary copy from the CPU would wait until the GPU has finished all work queued before it.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed; the CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
