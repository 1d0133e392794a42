"""The convolutional autoencoder of MaskBit (arXiv 2409.16211, Section 3), derived from that of MaskGIT.

Its peculiarities, kept for its released weights, are no attention, no bias within residual blocks, and a
shortcut that is applied to the block's own output. Images stay in [0, 1].
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sftok.models.autoencoders.base import to_grid, to_sequence
from sftok.models.autoencoders.convolutional import (
    ConvolutionalConfig,
    Downsample,
    Upsample,
    group_norm,
    initialize_as_torch,
)
from sftok.models.maskgit_vqgan import ResidualBlock


class MaskBitConfig(ConvolutionalConfig, name="maskbit"):
    """The shape of both halves; the defaults are the released tokenizer's."""

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> MaskBitEncoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return MaskBitEncoder(self, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> MaskBitDecoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return MaskBitDecoder(self, image_size // self.factor, latent_dim, generator)


def residual_blocks(inputs: int, outputs: int, config: MaskBitConfig) -> nn.Sequential:
    """Build a level's residual blocks; the first one maps `inputs` to `outputs` channels."""
    widths = pairwise((inputs, *[outputs] * config.num_res_blocks))
    return nn.Sequential(*(ResidualBlock(before, after, config.norm_groups) for before, after in widths))


class MaskBitEncoder(nn.Module):
    """Maps images to a grid of latents."""

    def __init__(
        self, config: MaskBitConfig, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        channels = config.channels
        self.conv_in = nn.Conv2d(3, config.hidden_channels, 3, padding=1, bias=False)
        self.down = nn.ModuleList(
            residual_blocks(before, after, config)
            for before, after in pairwise((config.hidden_channels, *channels))
        )
        self.downsample = nn.ModuleList([*map(Downsample, channels[:-1]), nn.Identity()])
        self.mid = residual_blocks(channels[-1], channels[-1], config)
        self.norm_out = group_norm(channels[-1], config.norm_groups)
        self.conv_out = nn.Conv2d(channels[-1], latent_dim, 1)
        initialize_as_torch(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        hidden = self.conv_in(images)
        for level, downsample in zip(self.down, self.downsample, strict=True):
            hidden = downsample(level(hidden))
        return to_sequence(self.conv_out(F.silu(self.norm_out(self.mid(hidden)))))


class MaskBitDecoder(nn.Module):
    """Maps a grid of quantized latents to images; levels are in order, the lowest resolution first."""

    def __init__(
        self,
        config: MaskBitConfig,
        grid: int,
        latent_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        channels = config.channels[::-1]
        self.conv_in = nn.Conv2d(latent_dim, channels[0], 3, padding=1)
        self.mid = residual_blocks(channels[0], channels[0], config)
        self.up = nn.ModuleList(
            residual_blocks(before, after, config) for before, after in pairwise((channels[0], *channels))
        )
        self.upsample = nn.ModuleList([*map(Upsample, channels[:-1]), nn.Identity()])
        self.norm_out = group_norm(channels[-1], config.norm_groups)
        self.conv_out = nn.Conv2d(channels[-1], 3, 3, padding=1)
        initialize_as_torch(self, generator)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode quantized latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        hidden = self.mid(self.conv_in(to_grid(latents, self.grid)))
        for level, upsample in zip(self.up, self.upsample, strict=True):
            hidden = upsample(level(hidden))
        return self.conv_out(F.silu(self.norm_out(hidden)))
