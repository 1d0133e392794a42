"""U-ViT, the transformer that denoises DC-AE's latents (arXiv 2209.12152).

The noise level, the class and the latents are all tokens; blocks of the second half also receive the output
of their counterparts in the first half.
"""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.extras import require
from sftok.generators.diffusion import DiffusionConfig
from sftok.models.autoencoders.base import to_grid, to_sequence
from sftok.models.layers import TransformerBlock, check_heads, initialize_transformer


class UViTConfig(DiffusionConfig, name="diffusion-uvit"):
    """The shape of the transformer; the default is U-ViT-H, with a patch of one latent.

    Attributes:
        width: channels of a token.
        depth: number of blocks besides the middle one, half of them before it and half after.
        heads: attention heads.
    """

    width: int = Field(default=1152, ge=2)
    depth: int = Field(default=28, ge=2)
    heads: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        for name in ("width", "depth"):
            if getattr(self, name) % 2:
                raise ValueError(f"{name} {getattr(self, name)} is odd; it must be even")
        return self

    def build_denoiser(
        self, side: int, latent_dim: int, num_classes: int, generator: torch.Generator | None
    ) -> UViT:
        """Build a U-ViT with weights drawn from `generator`."""
        return UViT(self, side, latent_dim, num_classes, generator)


class UViT(nn.Module):
    """A transformer with skip connections from its first half to its second."""

    def __init__(
        self,
        config: UViTConfig,
        side: int,
        latent_dim: int,
        num_classes: int,
        generator: torch.Generator | None = None,
    ) -> None:
        require("diffusers")
        super().__init__()
        width, half = config.width, config.depth // 2
        self.width, self.side = width, side
        self.latent_embedding = nn.Linear(latent_dim, width)
        self.class_embedding = nn.Embedding(num_classes + 1, width)
        self.position_embedding = nn.Parameter(torch.empty(2 + side**2, width))
        self.down = _blocks(config, half)
        self.middle = TransformerBlock(width, config.heads)
        self.skips = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(half))
        self.up = _blocks(config, half)
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Linear(width, latent_dim)
        self.conv_out = nn.Conv2d(latent_dim, latent_dim, 3, padding=1)
        initialize_transformer(self, generator)

    def forward(self, latents: Tensor, levels: Tensor, labels: Tensor) -> Tensor:
        """Map noisy latents `[B, D, h, w]`, levels `[B]` and labels `[B]` to noise `[B, D, h, w]`."""
        from diffusers.models.embeddings import get_timestep_embedding

        level = get_timestep_embedding(levels, self.width, flip_sin_to_cos=True, downscale_freq_shift=0)
        given = torch.stack([level, self.class_embedding(labels)], dim=1)
        embedded = self.latent_embedding(to_sequence(latents))
        tokens = torch.cat([given, embedded], dim=1) + self.position_embedding
        seen: list[Tensor] = []
        for block in self.down:
            tokens = block(tokens)
            seen.append(tokens)
        tokens = self.middle(tokens)
        for skip, block in zip(self.skips, self.up, strict=True):
            tokens = block(skip(torch.cat([tokens, seen.pop()], dim=-1)))
        noise = self.head(self.norm_out(tokens[:, 2:]))
        return self.conv_out(to_grid(noise, self.side))


def _blocks(config: UViTConfig, count: int) -> nn.ModuleList:
    return nn.ModuleList(TransformerBlock(config.width, config.heads) for _ in range(count))
