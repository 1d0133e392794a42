"""DiffAugment (Zhao et al., 2020): random, differentiable changes to all inputs of a discriminator.

As in StyleGAN-T and VAR, every image gets a translation, a color change and a cutout. Those augment images in
[-1, 1], whereas here, as in the release, images are in [0, 1]: new and cut pixels are black, and colors
change twice as much.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from sftok.device import to_device
from sftok.distributed import SINGLE, World

_TRANSLATION, _CUTOUT = 0.125, 0.2


def diff_augment(images: Tensor, generator: torch.Generator, world: World = SINGLE) -> Tensor:
    """Change each image independently.

    Args:
        images: `[B, 3, H, W]` in [0, 1].
        generator: source of every draw.
        world: the processes that share the batch; each draws for all of it.

    Returns:
        `[B, 3, H, W]`, no longer within [0, 1]; differentiable with respect to `images`.
    """
    count = world.size * len(images)
    draws = torch.rand(7, count, generator=generator, device=generator.device)
    draws = to_device(world.share(draws, dim=1), images.device)
    return _cut_out(_recolor(_translate(images, draws[:2]), draws[2:5]), draws[5:])


def _translate(images: Tensor, draws: Tensor) -> Tensor:
    """Shift by up to an eighth of each side, in whole pixels, filling with black."""
    sources = []
    for extent, draw in zip(images.shape[-2:], draws, strict=True):
        most = round(extent * _TRANSLATION)
        shift = (draw * (2 * most + 1)).floor().long() - most
        # Indices into the image padded by one black pixel.
        pixels = torch.arange(1, extent + 1, device=images.device)
        sources.append((shift[:, None] + pixels).clamp(0, extent + 1))
    height, width = images.shape[-2:]
    rows = rearrange(sources[0], "b h -> b 1 h 1").expand(-1, images.shape[1], -1, width + 2)
    columns = rearrange(sources[1], "b w -> b 1 1 w").expand(-1, images.shape[1], height, -1)
    return F.pad(images, (1, 1, 1, 1)).gather(2, rows).gather(3, columns)


def _recolor(images: Tensor, draws: Tensor) -> Tensor:
    """Add -0.5 to 0.5 to brightness, scale saturation by 0 to 2 and contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = rearrange(draws, "n b -> n b 1 1 1")
    images = images + (brightness - 0.5)
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (2 * saturation)
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (images - middle) * (0.5 + contrast)


def _cut_out(images: Tensor, draws: Tensor) -> Tensor:
    """Blacken a box of a fifth of each side at a random place, possibly partly outside the image."""
    inside = []
    for extent, draw in zip(images.shape[-2:], draws, strict=True):
        size = round(extent * _CUTOUT)
        first = (draw * (extent + 1 - size % 2)).floor().long() - size // 2
        pixels = torch.arange(extent, device=images.device)
        inside.append((pixels >= first[:, None]) & (pixels < first[:, None] + size))
    cut = rearrange(inside[0], "b h -> b 1 h 1") & rearrange(inside[1], "b w -> b 1 1 w")
    return images * ~cut
