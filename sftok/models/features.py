"""Frozen networks as pyramids of features: what perceptual losses compare and discriminators look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from sftok.frozen import Frozen

_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EfficientNetFeatures:
    """Maps of EfficientNet-Lite0 at strides 2, 4, 8, 16 and 32 of images resized to `resolution`.

    Args:
        network: timm's `tf_efficientnet_lite0`, its batch norms folded (`sftok.pretrained`); kept frozen.
        resolution: side in pixels to which images are resized, bicubically.
        levels: which of the five maps, in order.
    """

    def __init__(self, network: nn.Module, resolution: int, levels: Sequence[int] = (0, 1, 2, 3, 4)) -> None:
        self.network = Frozen(network)
        self.resolution = resolution
        info: Any = network.feature_info
        chosen = [info[level] for level in levels]
        self.channels = [level["num_chs"] for level in chosen]
        self._blocks = [int(level["module"].removeprefix("blocks.")) for level in chosen]

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        """Images `[B, 3, H, W]` in [0, 1] to maps `[B, C, h, w]`; nothing is drawn."""
        network = self.network.on(images.device)
        side = (self.resolution, self.resolution)
        resized = F.interpolate(images, side, mode="bicubic", align_corners=False, antialias=True)
        # Channels last is the layout that the CPU's convolutions work in.
        scaled = (resized * 2 - 1).contiguous(memory_format=torch.channels_last)
        hidden = network.bn1(network.conv_stem(scaled))
        maps = []
        for block, layer in enumerate(network.blocks[: self._blocks[-1] + 1]):
            hidden = layer(hidden)
            if block in self._blocks:
                maps.append(hidden)
        return maps


class DinoFeatures:
    """Patch tokens of a DINO ViT before its first block and after some others (StyleGAN-T).

    To each patch token its class token is added. Images larger than the ViT's own size are randomly
    cropped to it half of the time (one draw a batch), or averaged down; smaller ones are resized bicubically.

    Args:
        network: a timm `VisionTransformer` with a class token, such as `dino_vit_small()`; kept frozen.
        depths: blocks, from 0, after which tokens are read.
    """

    def __init__(self, network: nn.Module, depths: Sequence[int] = (2, 5, 8, 11)) -> None:
        self.network = Frozen(network)
        self.depths = tuple(depths)
        vit: Any = network
        self.side: int = vit.patch_embed.img_size[0]
        self.channels = [vit.embed_dim] * (1 + len(self.depths))

    def __call__(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Images `[B, 3, H, W]` in [0, 1] to maps `[B, C, patches]`."""
        network = self.network.on(images.device)
        mean = rearrange(images.new_tensor(_IMAGENET_MEAN), "c -> c 1 1")
        deviation = rearrange(images.new_tensor(_IMAGENET_DEVIATION), "c -> c 1 1")
        patches = network.patch_embed(self._view((images - mean) / deviation, generator))
        class_token = repeat(network.cls_token, "one l c -> (one b) l c", b=len(images))
        tokens = torch.cat([class_token, patches], dim=1) + network.pos_embed
        maps = [_readout(tokens)]
        for depth, block in enumerate(network.blocks[: max(self.depths) + 1]):
            tokens = block(tokens)
            if depth in self.depths:
                maps.append(_readout(tokens))
        return maps

    def _view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        side, height, width = self.side, *images.shape[-2:]
        if min(height, width) > side:
            if torch.rand((), generator=generator, device=generator.device) < 0.5:
                top, left = (_below(extent - side + 1, generator) for extent in (height, width))
                return images[..., top : top + side, left : left + side]
            return F.interpolate(images, (side, side), mode="area")
        if (height, width) == (side, side):
            return images
        return F.interpolate(images, (side, side), mode="bicubic", align_corners=False)


def _readout(tokens: Tensor) -> Tensor:
    return rearrange(tokens[:, 1:] + tokens[:, :1], "b l c -> b c l")


def _below(bound: int, generator: torch.Generator) -> int:
    return int(torch.randint(bound, (), generator=generator, device=generator.device))
