"""The convolutional autoencoder of Open-MAGVIT2 (arXiv 2409.04410, Section 3.1).

Before each level, its decoder normalizes by mean and deviation of the quantized map; it doubles the grid by
depth to space. There is no attention, and no bias within residual blocks.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from sftok.models.autoencoders.base import to_grid, to_sequence
from sftok.models.autoencoders.convolutional import (
    ConvolutionalConfig,
    ResidualBlock,
    group_norm,
    initialize_as_torch,
)


class OpenMAGVIT2Config(ConvolutionalConfig, name="open-magvit2"):
    """The shape of both halves; the defaults are those of the released tokenizer for 256 pixels."""

    num_res_blocks: int = Field(default=4, ge=1)

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> OpenMAGVIT2Encoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return OpenMAGVIT2Encoder(self, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> OpenMAGVIT2Decoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return OpenMAGVIT2Decoder(self, image_size // self.factor, latent_dim, generator)


class AdaptiveNorm(nn.Module):
    """A group norm with scale and shift from the statistics of the quantized map over its positions."""

    def __init__(self, channels: int, groups: int, code_channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6, affine=False)
        self.scale = nn.Linear(code_channels, channels)
        self.shift = nn.Linear(code_channels, channels)

    def forward(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Map features `[B, C, h, w]` and the quantized map `[B, D, h', w']` to `[B, C, h, w]`."""
        codes = codes.flatten(2)
        deviation = (codes.var(2) + 1e-6).sqrt()
        scale, shift = self.scale(deviation), self.shift(codes.mean(2))
        return self.norm(hidden) * scale[..., None, None] + shift[..., None, None]


class DepthToSpace(nn.Conv2d):
    """A 3x3 convolution to four times the channels, which become 2x2 positions (channel last)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 4 * channels, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map `[B, C, h, w]` to `[B, C, 2h, 2w]`."""
        return rearrange(super().forward(hidden), "b (p q c) h w -> b c (h p) (w q)", p=2, q=2)


def residual_blocks(inputs: int, outputs: int, config: OpenMAGVIT2Config) -> nn.Sequential:
    """Build a level's residual blocks; the first one maps `inputs` to `outputs` channels."""
    norm = partial(group_norm, groups=config.norm_groups)
    widths = pairwise((inputs, *[outputs] * config.num_res_blocks))
    return nn.Sequential(*(ResidualBlock(before, after, norm, bias=False) for before, after in widths))


class OpenMAGVIT2Encoder(nn.Module):
    """Maps images to a grid of latents."""

    def __init__(
        self, config: OpenMAGVIT2Config, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        channels = config.channels
        self.conv_in = nn.Conv2d(3, config.hidden_channels, 3, padding=1, bias=False)
        self.down = nn.ModuleList(
            residual_blocks(before, after, config)
            for before, after in pairwise((config.hidden_channels, *channels))
        )
        halvings = (nn.Conv2d(width, width, 3, stride=2, padding=1) for width in channels[:-1])
        self.downsample = nn.ModuleList([*halvings, nn.Identity()])
        self.mid = residual_blocks(channels[-1], channels[-1], config)
        self.norm_out = group_norm(channels[-1], config.norm_groups)
        self.conv_out = nn.Conv2d(channels[-1], latent_dim, 1)
        initialize_as_torch(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        hidden = self.conv_in(2 * images - 1)
        for level, downsample in zip(self.down, self.downsample, strict=True):
            hidden = downsample(level(hidden))
        return to_sequence(self.conv_out(F.silu(self.norm_out(self.mid(hidden)))))


class OpenMAGVIT2Decoder(nn.Module):
    """Maps a grid of quantized latents to images.

    Levels are numbered as in the encoder, and are applied from the last to the first.
    """

    def __init__(
        self,
        config: OpenMAGVIT2Config,
        grid: int,
        latent_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        channels = config.channels
        widths = [*pairwise((*channels, channels[-1]))]
        self.conv_in = nn.Conv2d(latent_dim, channels[-1], 3, padding=1)
        self.mid = residual_blocks(channels[-1], channels[-1], config)
        self.adaptive = nn.ModuleList(
            AdaptiveNorm(before, config.norm_groups, latent_dim) for _, before in widths
        )
        self.up = nn.ModuleList(residual_blocks(before, after, config) for after, before in widths)
        self.upsample = nn.ModuleList([nn.Identity(), *map(DepthToSpace, channels[1:])])
        self.norm_out = group_norm(channels[0], config.norm_groups)
        self.conv_out = nn.Conv2d(channels[0], 3, 3, padding=1)
        initialize_as_torch(self, generator)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode quantized latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        codes = to_grid(latents, self.grid)
        hidden = self.mid(self.conv_in(codes))
        levels = zip(self.adaptive, self.up, self.upsample, strict=True)
        for norm, level, upsample in reversed(tuple(levels)):
            hidden = upsample(level(norm(hidden, codes)))
        return (self.conv_out(F.silu(self.norm_out(hidden))) + 1) / 2
