"""Resizes images with a gradient that is deterministic on every device.

PyTorch's GPU kernels for the gradients of bicubic, bilinear and area resizing add in an order that changes
from run to run. Resizing is linear in each direction, so on a GPU it is computed as two matrix products.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sftok.device import to_device


def resize(images: Tensor, side: tuple[int, int], mode: str, **options: Any) -> Tensor:
    """`torch.nn.functional.interpolate(images, side, mode=mode, **options)`, up to rounding on a GPU.

    Args:
        images: `[B, C, H, W]`.
        side: height and width of the result.
        mode: "area", "bilinear" or "bicubic".
        options: `align_corners`, `antialias`.
    """
    if images.device.type == "cpu":
        return F.interpolate(images, side, mode=mode, **options)
    return resize_by_products(images, side, mode, **options)


def resize_by_products(images: Tensor, side: tuple[int, int], mode: str, **options: Any) -> Tensor:
    """Like `resize`, but always by matrix products."""
    chosen = tuple(sorted(options.items()))
    rows, columns = (
        _matrix(extent, target, mode, chosen, images.device)
        for extent, target in zip(images.shape[-2:], side, strict=True)
    )
    with torch.autocast(images.device.type, enabled=False):
        return (rows @ images.float() @ columns.t()).to(images.dtype)


@functools.lru_cache(maxsize=16)
@torch.inference_mode(False)
def _matrix(
    extent: int, target: int, mode: str, options: tuple[tuple[str, Any], ...], device: torch.device
) -> Tensor:
    """Return the matrix that resizes a column of `extent` pixels: `[target, extent]`."""
    columns = torch.eye(extent)[None, None]
    resized = F.interpolate(columns, (target, extent), mode=mode, **dict(options))
    return to_device(resized[0, 0], device)
