"""Rounding of images before feature extraction."""

from __future__ import annotations

import torch
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Convert images in [0, 1] to uint8, truncating as the release does. Exact on multiples of 1/255."""
    return (images.clamp(0, 1) * 255).to(torch.uint8)
