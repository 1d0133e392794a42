"""The luma of images, which PSNR and SSIM compare."""

from __future__ import annotations

from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


def luma(images: Tensor) -> Tensor:
    """Return the luma `[B, H, W]` of RGB images `[B, 3, H, W]`, in their own range (Rec. 601 weights)."""
    red, green, blue = images.unbind(1)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
