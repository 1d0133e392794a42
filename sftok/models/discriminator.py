"""Discriminators of stage 3: small heads on the features of a frozen network (Table 6: `dinodisc`).

`DinoDiscriminator` is that of StyleGAN-T and VAR, as the release has it. `ProjectedDiscriminator`, after
Projected GAN, needs only the weights that EfficientNet-Lite0's package embeds; the `cpu` profile uses it.
Both say one logit per position and level: the higher, the more real.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sftok.config import Config
from sftok.models.features import DinoFeatures, EfficientNetFeatures


class DinoDiscriminatorConfig(Config):
    """Heads on DINO ViT-S/16; the defaults are StyleGAN-T's, VAR's and the release's."""

    name: Literal["dino"] = "dino"
    depths: tuple[int, ...] = Field(default=(2, 5, 8, 11), min_length=1)
    """Blocks of the ViT whose tokens have a head, beside its input."""
    kernel_size: int = Field(default=9, ge=1)
    """Patches, in reading order and circular, that a head sees at once."""
    norm_batch: int = Field(default=8, ge=1)
    """Images that are normalised together."""


class ProjectedDiscriminatorConfig(Config):
    """Heads on EfficientNet-Lite0; Projected GAN's, narrower."""

    name: Literal["efficientnet-lite0"] = "efficientnet-lite0"
    resolution: int = Field(default=64, ge=32)
    """Side in pixels of what the network sees."""
    channels: int = Field(default=64, ge=1)
    """Of the random projections and of the heads."""
    norm_batch: int = Field(default=8, ge=1)
    """Images that are normalised together."""


DiscriminatorConfig = DinoDiscriminatorConfig | ProjectedDiscriminatorConfig


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value, followed by one power iteration a training pass."""

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn(len(matrix), generator=generator), dim=0))
        self.register_buffer("right", torch.empty(matrix.shape[1]))
        for _ in range(15):  # the first estimate; from there on the weight moves slowly
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """Any weight whose first dimension is the outputs', to the same shape."""
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix.detach())
        # Copies, because the next pass changes the buffers while this pass's graph may still need them.
        return weight / (self.left.clone() @ matrix @ self.right.clone())

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.right.copy_(F.normalize(matrix.t() @ self.left, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))


class LocalBatchNorm(nn.Module):
    """Batch norm over small groups of a batch, without running statistics: the same in training and not."""

    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, hidden: Tensor) -> Tensor:
        """`[B, C, ...]` to the same, in groups of `group` images, or of a size near it that divides B."""
        groups = math.ceil(len(hidden) / self.group)
        while len(hidden) % groups:
            groups -= 1
        grouped = rearrange(hidden, "(g b) c ... -> g b c (...)", g=groups)
        variance, mean = torch.var_mean(grouped, dim=(1, 3), keepdim=True, correction=0)
        scale = (variance + 1e-6).rsqrt() * rearrange(self.weight, "c -> c 1")
        return ((grouped - mean) * scale + rearrange(self.bias, "c -> c 1")).reshape(hidden.shape)


class Residual(nn.Module):
    """`(x + f(x)) / sqrt(2)`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: Tensor) -> Tensor:
        """The shape stays."""
        return (hidden + self.inner(hidden)) * math.sqrt(0.5)


class DinoDiscriminator(nn.Module):
    """A head of 1-d convolutions over the patches of each level.

    Args:
        config: the heads.
        network: the ViT under them, such as `dino_vit_small()`; kept frozen and out of the module tree.
        generator: where first weights come from; None is a fresh one of seed 0.
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
        self.heads = nn.ModuleList(
            nn.Sequential(
                _block(nn.Conv1d(channels, channels, 1), config.norm_batch),
                Residual(
                    _block(
                        nn.Conv1d(
                            channels, channels, config.kernel_size, padding="same", padding_mode="circular"
                        ),
                        config.norm_batch,
                    )
                ),
                nn.Conv1d(channels, 1, 1),
            )
            for channels in self.features.channels
        )
        _initialise(self.heads, generator)

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] to logits `[B, levels * patches]`."""
        maps = self.features(images, generator)
        return torch.cat([head(each).flatten(1) for head, each in zip(self.heads, maps, strict=True)], dim=1)


class ProjectedDiscriminator(nn.Module):
    """Heads on random, fixed mixtures of EfficientNet-Lite0's maps at strides 4 to 32.

    As in Projected GAN each map is mixed over channels, and from the coarsest to the finest added to the
    coarser mixture, resized. Each head halves its map until it is as small as the coarsest.

    Args:
        config: the heads.
        network: the EfficientNet, `efficientnet_lite0()`; kept frozen and out of the module tree.
        generator: where first weights and projections come from; None is a fresh one of seed 0.
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
        inner = config.channels
        # The projections are checkpointed though never trained: a run must go on with its own.
        self.channel_mixing = nn.ModuleList(nn.Conv2d(outer, inner, 1) for outer in self.features.channels)
        self.scale_mixing = nn.ModuleList(nn.Conv2d(inner, inner, 1) for _ in self.features.channels)
        levels = len(self.features.channels)
        self.heads = nn.ModuleList(
            nn.Sequential(
                *(
                    _block(nn.Conv2d(inner, inner, 4, stride=2, padding=1), config.norm_batch)
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
        _initialise(self.heads, generator)

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] to logits `[B, positions of all levels]`; nothing is drawn."""
        mixed: Tensor | None = None
        logits = []
        for level, each in reversed(list(enumerate(self.features(images)))):
            hidden = self.channel_mixing[level](each)
            if mixed is not None:
                hidden = hidden + F.interpolate(mixed, hidden.shape[-2:], mode="bilinear", align_corners=True)
            mixed = self.scale_mixing[level](hidden)
            logits.append(self.heads[level](mixed).flatten(1))
        return torch.cat(logits, dim=1)


Discriminator = DinoDiscriminator | ProjectedDiscriminator


def _block(convolution: Any, norm_batch: int) -> nn.Sequential:
    return nn.Sequential(
        convolution, LocalBatchNorm(convolution.out_channels, norm_batch), nn.LeakyReLU(0.2, inplace=True)
    )


def _initialise(heads: nn.Module, generator: torch.Generator | None) -> None:
    """Torch's own first weights of convolutions, drawn from `generator`; then all get a spectral norm."""
    generator = generator or torch.Generator().manual_seed(0)
    for module in list(heads.modules()):
        if isinstance(module, nn.Conv1d | nn.Conv2d) and module.bias is not None:
            bound = 1 / math.sqrt(module.weight[0].numel())
            for parameter in (module.weight, module.bias):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight, generator))
