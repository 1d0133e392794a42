"""EfficientNet-Lite0: its embedded weights, its features, and a discriminator on them (Projected GAN)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from sftok.frozen import Frozen
from sftok.io.published import PretrainedError, describe_error, packaged_weights, timm_sketch
from sftok.models.discriminator import Discriminator, DiscriminatorConfig, initialize_heads, normalized_block
from sftok.models.resizing import resize


class ProjectedDiscriminatorConfig(DiscriminatorConfig, name="efficientnet-lite0"):
    """Heads on EfficientNet-Lite0, like those of Projected GAN, but narrower."""

    resolution: int = Field(default=64, ge=32)
    """Side in pixels to which images are resized."""
    channels: int = Field(default=64, ge=1)
    """Width of the random projections and of the heads."""
    norm_batch: int = Field(default=8, ge=1)
    """Number of images that are normalized together."""

    def build(self, generator: torch.Generator | None = None) -> Discriminator:
        """Build the discriminator, with the embedded weights."""
        return ProjectedDiscriminator(self, efficientnet_lite0(), generator)

    def check_weights(self) -> None:
        """Check the file without loading timm."""
        packaged_weights()

    def sketch(self, image_size: int) -> tuple[nn.Module, Tensor]:
        """Return the network at its own resolution."""
        return timm_sketch("tf_efficientnet_lite0", self.resolution)


class EfficientNetFeatures:
    """Feature maps of EfficientNet-Lite0 at strides 2, 4, 8, 16 and 32, for images resized to `resolution`.

    Args:
        network: as returned by `efficientnet_lite0`; kept frozen.
        resolution: side in pixels to which images are resized, bicubically.
        levels: indices of the five maps to return.
    """

    def __init__(self, network: nn.Module, resolution: int, levels: Sequence[int] = (0, 1, 2, 3, 4)) -> None:
        self.network = Frozen(network)
        self.resolution = resolution
        info: Any = network.feature_info
        chosen = [info[level] for level in levels]
        self.channels = [level["num_chs"] for level in chosen]
        self._blocks = [int(level["module"].removeprefix("blocks.")) for level in chosen]

    def __call__(self, images: Tensor, generator: torch.Generator | None = None) -> list[Tensor]:
        """Map images `[B, 3, H, W]` in [0, 1] to maps `[B, C, h, w]`; nothing is drawn."""
        network = self.network.on(images.device)
        side = (self.resolution, self.resolution)
        resized = resize(images, side, "bicubic", align_corners=False, antialias=True)
        # The CPU's convolutions use this layout.
        scaled = (resized * 2 - 1).contiguous(memory_format=torch.channels_last)
        hidden = network.bn1(network.conv_stem(scaled))
        maps = []
        for block, layer in enumerate(network.blocks[: self._blocks[-1] + 1]):
            hidden = layer(hidden)
            if block in self._blocks:
                maps.append(hidden)
        return maps


class ProjectedDiscriminator(Discriminator):
    """Heads on random, fixed projections of EfficientNet-Lite0's maps at strides 4 to 32.

    As in Projected GAN, each map is mixed over channels; then, from the coarsest to the finest, the resized
    coarser mixture is added to each. Each head halves its map until it is as small as the coarsest.

    Args:
        config: the heads.
        network: as returned by `efficientnet_lite0`; kept frozen and outside the module tree.
        generator: source of the initial weights and the projections; None means a new one with seed 0.
    """

    def __init__(
        self,
        config: ProjectedDiscriminatorConfig,
        network: nn.Module,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.norm_batch = config.norm_batch
        self.features = EfficientNetFeatures(network, config.resolution, levels=(1, 2, 3, 4))
        self.network = self.features.network
        inner = config.channels
        # Never trained, but checkpointed, because a resumed run must have the same projections.
        self.channel_mixing = nn.ModuleList(nn.Conv2d(outer, inner, 1) for outer in self.features.channels)
        self.scale_mixing = nn.ModuleList(nn.Conv2d(inner, inner, 1) for _ in self.features.channels)
        levels = len(self.features.channels)
        self.heads = nn.ModuleList(
            nn.Sequential(
                *(
                    normalized_block(nn.Conv2d(inner, inner, 4, stride=2, padding=1), config.norm_batch)
                    for _ in range(levels - 1 - level)
                ),
                nn.Conv2d(inner, 1, 3, padding=1),
            )
            for level in range(levels)
        )
        generator = generator or torch.Generator().manual_seed(0)
        for projection in (*self.channel_mixing, *self.scale_mixing):
            nn.init.kaiming_normal_(projection.weight, nonlinearity="linear", generator=generator)
            nn.init.zeros_(projection.bias)
            projection.requires_grad_(False)
        initialize_heads(self.heads, generator)

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to logits `[B, positions of all levels]`; nothing is drawn."""
        mixed: Tensor | None = None
        logits = []
        for level, each in reversed(list(enumerate(self.features(images)))):
            hidden = self.channel_mixing[level](each)
            if mixed is not None:
                hidden = hidden + resize(mixed, hidden.shape[-2:], "bilinear", align_corners=True)
            mixed = self.scale_mixing[level](hidden)
            logits.append(self.heads[level](mixed).flatten(1))
        return torch.cat(logits, dim=1)


def efficientnet_lite0(weights: Path | None = None) -> nn.Module:
    """Load timm's `tf_efficientnet_lite0` with the ImageNet weights embedded in its package, frozen.

    Its batch norms are folded into convolutions; evaluation measures with the same network.

    Raises:
        PretrainedError: the package is not installed, or `weights` belong to another network.
    """
    # Imported here because timm takes seconds to load, and reading a configuration needs no network.
    from sftok.models.efficientnet import load_efficientnet_lite0

    path = weights or packaged_weights()
    try:
        return load_efficientnet_lite0(path)
    except Exception as error:  # unpickling a damaged file may raise anything
        raise PretrainedError(
            f"efficientnet-lite0: {path} cannot be used ({describe_error(error)})"
        ) from None
