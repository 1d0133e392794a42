"""The encoder: an image and K learned queries through one Vision Transformer (Section 3.1).

The patches of the image and the queries attend to each other in every block; only the queries leave, as
the K latent tokens that the quantizer turns into ids.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.config import Config
from sftok.models.layers import initialise_transformer, transformer


class EncoderConfig(Config):
    """The shape of an encoder.

    `latent_layout` is how latents `[B, K, D]` meet the output projection: "straight" projects each token,
    "legacy" first reinterprets the memory as `[B, D, K]`, which mixes tokens and channels. The released
    weights were trained with "legacy" and need it.
    """

    image_size: int = Field(ge=1)
    patch_size: int = Field(ge=1)
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)
    num_latent_tokens: int = Field(ge=1)
    token_dim: int = Field(ge=1)
    latent_layout: Literal["straight", "legacy"] = "straight"

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {self.image_size}")
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} does not divide width {self.width}")
        return self

    @property
    def num_patches(self) -> int:
        """Patches an image, L_1 of the paper."""
        return (self.image_size // self.patch_size) ** 2


class Encoder(nn.Module):
    """f_e of the paper: images to continuous latent tokens Z_e."""

    def __init__(self, config: EncoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        width, queries = config.width, config.num_latent_tokens
        self.patch_embed = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size)
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.image_positions = nn.Parameter(torch.empty(1 + config.num_patches, width))
        self.queries = nn.Parameter(torch.empty(queries, width))
        self.query_positions = nn.Parameter(torch.empty(queries, width))
        self.norm_in = nn.LayerNorm(width)
        self.blocks = transformer(width, config.depth, config.heads)
        self.norm_out = nn.LayerNorm(width)
        self.to_latents = nn.Linear(width, config.token_dim)
        initialise_transformer(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [0, 1] to latents `[B, K, Dq]`.

        Raises:
            ValueError: they are of another size; one with as many patches would go through.
        """
        side = self.config.image_size
        if images.shape[1:] != (3, side, side):
            raise ValueError(
                f"images of shape {list(images.shape)}: this encoder takes [B, 3, {side}, {side}]"
            )
        batch = images.shape[0]
        patches = rearrange(self.patch_embed(images), "b d h w -> b (h w) d")
        class_token = repeat(self.class_token, "one d -> b one d", b=batch).to(patches.dtype)
        image_tokens = torch.cat([class_token, patches], dim=1) + self.image_positions
        queries = repeat(self.queries + self.query_positions, "k d -> b k d", b=batch)
        tokens = self.blocks(self.norm_in(torch.cat([image_tokens, queries], dim=1)))
        latents = self.norm_out(tokens[:, image_tokens.shape[1] :])
        return self.to_latents(self._arrange(latents))

    def _arrange(self, latents: Tensor) -> Tensor:
        if self.config.latent_layout == "straight":
            return latents
        # Not a transpose: the release reads the memory of [B, K, D] as [B, D, K] and projects that.
        batch, tokens, width = latents.shape
        return rearrange(latents.reshape(batch, width, tokens), "b d k -> b k d")
