"""Finds operations that PyTorch refuses on a GPU because their result changes from run to run."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

REFUSED = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "_ctc_loss_backward",
    "_embedding_bag_dense_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "max_unpool2d",
    "max_unpool3d",
    "median.dim",
    "nanmedian.dim",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
    "_upsample_bicubic2d_aa_backward",
    "_upsample_bilinear2d_aa_backward",
}
"""As listed under `torch.use_deterministic_algorithms`, and antialiased resizing, which adds in any order."""

TOO_LARGE = {"cumsum"}
"""On real numbers, PyTorch's deterministic replacement takes memory for the square of the length."""


class Refused(TorchDispatchMode):
    """Collects the names of operations that a GPU would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        packet = func.overloadpacket.__name__
        name = f"{packet}.{func._overloadname}"
        real = isinstance(args[0], torch.Tensor) and args[0].is_floating_point() if args else False
        if packet in REFUSED or name in REFUSED or (packet in TOO_LARGE and real):
            self.found.add(packet)
        return func(*args, **(kwargs or {}))
