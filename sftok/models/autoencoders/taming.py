"""The convolutional autoencoder of VQGAN (taming-transformers, arXiv 2012.09841) and its derivatives.

RQ-VAE, Mo-VQGAN, VQGAN-LC, LDM-4, Cosmos and the tokenizer of LlamaGen use this network, too. They differ in
its sizes and in two ideas: Mo-VQGAN modulates the decoder's norms by the quantized map, and Cosmos works on
the Haar wavelet coefficients of the image.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.models.autoencoders.base import to_grid, to_sequence
from sftok.models.autoencoders.convolutional import (
    AttentionBlock,
    ConvolutionalConfig,
    Downsample,
    Norm,
    ResidualBlock,
    SpatialNorm,
    Upsample,
    group_norm,
    initialize_as_torch,
)


class TamingConfig(ConvolutionalConfig, name="taming"):
    """The shape of both halves. The defaults are VQGAN's at 256 pixels, with 16x16 latents.

    The decoder has one more residual block per level than the encoder.

    Attributes:
        attention_levels: levels with attention after each residual block; the middle always has attention.
        z_channels: channels between the networks and the 1x1 convolutions at the latents.
        halvings: how often the grid is halved, at the first levels of the encoder and the last of the
            decoder; None means between all levels.
        decoder_norm: "group", or "spatial", which is modulated by the quantized map (Mo-VQGAN).
        haar_levels: levels of the Haar wavelet transform around the networks (Cosmos: 2); each halves the
            grid and has four times the channels.
    """

    attention_levels: tuple[int, ...] = (4,)
    z_channels: int = Field(default=256, ge=1)
    halvings: int | None = Field(default=None, ge=0)
    decoder_norm: Literal["group", "spatial"] = "group"
    haar_levels: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _levels_fit(self) -> Self:
        levels = len(self.channel_multipliers)
        for level in self.attention_levels:
            if not 0 <= level < levels:
                raise ValueError(f"attention_levels has {level}; levels are 0 to {levels - 1}")
        if self.num_halvings >= levels:
            raise ValueError(f"halvings {self.num_halvings} of {levels} levels; the last does not halve")
        return self

    @property
    def num_halvings(self) -> int:
        """Number of times that the networks halve the grid."""
        return len(self.channel_multipliers) - 1 if self.halvings is None else self.halvings

    @property
    def factor(self) -> int:
        """Pixels per side covered by a latent."""
        return 2 ** (self.num_halvings + self.haar_levels)

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> TamingEncoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return TamingEncoder(self, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> TamingDecoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return TamingDecoder(self, image_size // self.factor, latent_dim, generator)


class Level(nn.Module):
    """Residual blocks of one resolution, each followed by attention if the level has it."""

    def __init__(self, inputs: int, outputs: int, count: int, attention: bool, norm: Norm) -> None:
        super().__init__()
        widths = pairwise((inputs, *[outputs] * count))
        self.blocks = nn.ModuleList(ResidualBlock(before, after, norm) for before, after in widths)
        self.attentions = nn.ModuleList(AttentionBlock(outputs, norm) for _ in range(count * attention))

    def forward(self, hidden: Tensor, *codes: Tensor) -> Tensor:
        """Map `[B, inputs, h, w]` to `[B, outputs, h, w]`; `codes` modulate the norms."""
        for index, block in enumerate(self.blocks):
            hidden = block(hidden, *codes)
            if self.attentions:
                hidden = self.attentions[index](hidden, *codes)
        return hidden


class Middle(nn.Module):
    """Attention between two residual blocks, at the lowest resolution."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.before = ResidualBlock(channels, channels, norm)
        self.attention = AttentionBlock(channels, norm)
        self.after = ResidualBlock(channels, channels, norm)

    def forward(self, hidden: Tensor, *codes: Tensor) -> Tensor:
        """Map `[B, C, h, w]` to `[B, C, h, w]`; `codes` modulate the norms."""
        return self.after(self.attention(self.before(hidden, *codes), *codes), *codes)


class TamingEncoder(nn.Module):
    """Maps images to a grid of latents."""

    def __init__(
        self, config: TamingConfig, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        channels, blocks = config.channels, config.num_res_blocks
        norm = partial(group_norm, groups=config.norm_groups)
        self.conv_in = nn.Conv2d(3 * 4**config.haar_levels, config.hidden_channels, 3, padding=1)
        self.down = nn.ModuleList(
            Level(before, after, blocks, level in config.attention_levels, norm)
            for level, (before, after) in enumerate(pairwise((config.hidden_channels, *channels)))
        )
        self.downsample = nn.ModuleList(
            Downsample(width) if level < config.num_halvings else nn.Identity()
            for level, width in enumerate(channels)
        )
        self.mid = Middle(channels[-1], norm)
        self.norm_out = norm(channels[-1])
        self.conv_out = nn.Conv2d(channels[-1], config.z_channels, 3, padding=1)
        self.to_latents = nn.Conv2d(config.z_channels, latent_dim, 1)
        initialize_as_torch(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        hidden = 2 * images - 1
        for _ in range(self.config.haar_levels):
            hidden = haar(hidden)
        hidden = self.conv_in(hidden)
        for level, downsample in zip(self.down, self.downsample, strict=True):
            hidden = downsample(level(hidden))
        hidden = self.conv_out(F.silu(self.norm_out(self.mid(hidden))))
        return to_sequence(self.to_latents(hidden))


class TamingDecoder(nn.Module):
    """Maps a grid of quantized latents to images.

    Levels are numbered as in the encoder, and are applied from the last to the first.
    """

    def __init__(
        self,
        config: TamingConfig,
        grid: int,
        latent_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.grid = config, grid
        channels, blocks = config.channels, config.num_res_blocks + 1
        norm: Norm = partial(group_norm, groups=config.norm_groups)
        if config.decoder_norm == "spatial":
            norm = partial(SpatialNorm, groups=config.norm_groups, code_channels=latent_dim)
        self.from_latents = nn.Conv2d(latent_dim, config.z_channels, 1)
        self.conv_in = nn.Conv2d(config.z_channels, channels[-1], 3, padding=1)
        self.mid = Middle(channels[-1], norm)
        self.up = nn.ModuleList(
            Level(before, after, blocks, level in config.attention_levels, norm)
            for level, (after, before) in enumerate(pairwise((*channels, channels[-1])))
        )
        self.upsample = nn.ModuleList(
            Upsample(width) if level >= len(channels) - config.num_halvings else nn.Identity()
            for level, width in enumerate(channels)
        )
        self.norm_out = norm(channels[0])
        self.conv_out = nn.Conv2d(channels[0], 3 * 4**config.haar_levels, 3, padding=1)
        initialize_as_torch(self, generator)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode quantized latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        grid = to_grid(latents, self.grid)
        codes = (grid,) if self.config.decoder_norm == "spatial" else ()
        hidden = self.mid(self.conv_in(self.from_latents(grid)), *codes)
        for level, upsample in zip(reversed(self.up), reversed(self.upsample), strict=True):
            hidden = upsample(level(hidden, *codes))
        hidden = self.conv_out(F.silu(self.norm_out(hidden, *codes)))
        for _ in range(self.config.haar_levels):
            hidden = inverse_haar(hidden)
        return (hidden + 1) / 2


HAAR = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))
"""LL, LH, HL and HH of the four pixels of a 2x2 block, one per row; a quarter of it is its inverse."""


def haar(images: Tensor) -> Tensor:
    """Apply one level of the Haar transform: `[B, C, 2h, 2w]` to `[B, 4C, h, w]`, LL first; LL is a mean."""
    blocks = rearrange(images, "b c (h p) (w q) -> b (p q) c h w", p=2, q=2)
    mixed = einsum(images.new_tensor(HAAR) / 4, blocks, "s t, b t c h w -> b s c h w")
    return rearrange(mixed, "b s c h w -> b (s c) h w")


def inverse_haar(coefficients: Tensor) -> Tensor:
    """Invert `haar`: `[B, 4C, h, w]` to `[B, C, 2h, 2w]`."""
    parts = rearrange(coefficients, "b (s c) h w -> b s c h w", s=4)
    blocks = einsum(coefficients.new_tensor(HAAR), parts, "s t, b s c h w -> b t c h w")
    return rearrange(blocks, "b (p q) c h w -> b c (h p) (w q)", p=2, q=2)
