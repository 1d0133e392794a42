"""`torch.compile` for the networks of a stage."""

from __future__ import annotations

from typing import Literal

import torch

from sftok.config import ConfigError
from sftok.training.stages.base import Stage

CompileMode = Literal["none", "default", "max-autotune"]
"""How much `torch.compile` does; "max-autotune" searches longer for fast kernels."""

# With CUDA graphs, the decoder's second pass in a step would overwrite the result of the first.
_MODES = {"default": "default", "max-autotune": "max-autotune-no-cudagraphs"}


def compile_networks(stage: Stage, mode: CompileMode, device: torch.device) -> bool:
    """Compile `stage.compiled` in place, which keeps the names of the weights; returns whether there is any.

    Kernels are generated when they are first needed.

    Raises:
        ConfigError: the compiler that PyTorch needs for this device is missing.
    """
    networks = [] if mode == "none" else list(stage.compiled)
    if networks and device.type == "cuda":
        _require_triton(mode)
    for network in networks:
        network.compile(mode=_MODES[mode], dynamic=False)
    return bool(networks)


def _require_triton(mode: CompileMode) -> None:
    # Imported here because it loads the compiler.
    from torch.utils._triton import has_triton

    if not has_triton():
        raise ConfigError(
            f"compile = {mode!r}: PyTorch needs Triton and a GPU of compute capability 7.0 for it; "
            "pip install triton, or set compile=none"
        )
