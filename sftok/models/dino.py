"""DINO's ViT-S/16: its published weights, its features, and the discriminator on them (Table 6: `dinodisc`).

The discriminator is that of StyleGAN-T and VAR, in the release's form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange, repeat
from pydantic import Field
from torch import Tensor, nn

from sftok.frozen import Frozen
from sftok.io.published import load_published, timm_sketch
from sftok.models.discriminator import (
    Discriminator,
    DiscriminatorConfig,
    Residual,
    initialize_heads,
    normalized_block,
)
from sftok.models.resizing import resize

DINO_URL = "https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth"
"""DINO ViT-S/16; timm's `vit_small_patch16_224.dino` holds the same tensors under the same names."""

_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DinoDiscriminatorConfig(DiscriminatorConfig, name="dino"):
    """Heads on DINO ViT-S/16; the defaults are those of StyleGAN-T, VAR and the release."""

    depths: tuple[int, ...] = Field(default=(2, 5, 8, 11), min_length=1)
    """Blocks of the ViT, from 0, whose output has a head; the input of the ViT always has one."""
    kernel_size: int = Field(default=9, ge=1)
    """Size of a head's circular convolution over patches in reading order."""
    norm_batch: int = Field(default=8, ge=1)
    """Number of images that are normalized together."""

    def build(self, generator: torch.Generator | None = None) -> Discriminator:
        """Build the discriminator, with DINO's published weights."""
        return DinoDiscriminator(self, dino_vit_small(), generator)

    def check_weights(self) -> None:
        """Load DINO."""
        dino_vit_small()

    def sketch(self, image_size: int) -> tuple[nn.Module, Tensor]:
        """Return DINO's ViT, which takes images of 224 pixels a side."""
        return timm_sketch("vit_small_patch16_224", 224)


class DinoDiscriminator(Discriminator):
    """A head of 1-d convolutions over the patches of each depth.

    Args:
        config: the heads.
        network: the ViT, as returned by `dino_vit_small`; kept frozen and outside the module tree.
        generator: source of the initial weights; None means a new one with seed 0.
    """

    def __init__(
        self,
        config: DinoDiscriminatorConfig,
        network: nn.Module,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.norm_batch = config.norm_batch
        self.features = DinoFeatures(network, config.depths)
        self.network = self.features.network
        self.heads = nn.ModuleList(_head(channels, config) for channels in self.features.channels)
        initialize_heads(self.heads, generator)

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to logits `[B, levels * patches]`."""
        maps = self.features(images, generator)
        return torch.cat([head(each).flatten(1) for head, each in zip(self.heads, maps, strict=True)], dim=1)


def _head(channels: int, config: DinoDiscriminatorConfig) -> nn.Sequential:
    wide = nn.Conv1d(channels, channels, config.kernel_size, padding="same", padding_mode="circular")
    return nn.Sequential(
        normalized_block(nn.Conv1d(channels, channels, 1), config.norm_batch),
        Residual(normalized_block(wide, config.norm_batch)),
        nn.Conv1d(channels, 1, 1),
    )


class DinoFeatures:
    """Patch tokens of a DINO ViT, before its first block and after some others (StyleGAN-T).

    The class token is added to each patch token. Images larger than the input of the ViT are randomly cropped
    to its size with probability 1/2 (one draw per batch), otherwise averaged down; smaller ones are resized
    bicubically.
    bicubically.

    Args:
        network: a timm `VisionTransformer` with a class token; kept frozen.
        depths: blocks, from 0, after which tokens are read.
    """

    def __init__(self, network: nn.Module, depths: Sequence[int] = (2, 5, 8, 11)) -> None:
        self.network = Frozen(network)
        self.depths = tuple(depths)
        vit: Any = network
        self.side: int = vit.patch_embed.img_size[0]
        self.channels = [vit.embed_dim] * (1 + len(self.depths))

    def __call__(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Map images `[B, 3, H, W]` in [0, 1] to maps `[B, C, patches]`."""
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
            return resize(images, (side, side), "area")
        if (height, width) == (side, side):
            return images
        return resize(images, (side, side), "bicubic", align_corners=False)


def dino_vit_small(weights: Path | None = None) -> nn.Module:
    """DINO's ViT-S/16 (timm's `vit_small_patch16_224` without a head), frozen.

    Args:
        weights: a .pth or .safetensors file of tensors; torch's hub cache by default.

    Raises:
        PretrainedError: the weights are missing or damaged.
    """
    import timm  # imported here because it takes seconds, which reading a configuration need not spend

    with torch.device("meta"):
        network = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0)
    load_published(network, "DINO ViT-S/16", DINO_URL, weights)
    return network.eval().requires_grad_(False)


def _readout(tokens: Tensor) -> Tensor:
    return rearrange(tokens[:, 1:] + tokens[:, :1], "b l c -> b c l")


def _below(bound: int, generator: torch.Generator) -> int:
    return int(torch.randint(bound, (), generator=generator, device=generator.device))
