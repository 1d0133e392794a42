"""The encoder: one Vision Transformer over an image and K learned queries (Section 3.1).

The patches of the image and the queries attend to each other in every block; only the queries are returned,
as the K latent tokens that the quantizer turns into ids.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.models.base import Encoder, EncoderConfig
from sftok.models.layers import check_heads, initialize_transformer, transformer


class ViTEncoderConfig(EncoderConfig, name="vit"):
    """A Vision Transformer; the default is ViT-B with patches of 16 pixels (Section 4.1).

    `latent_layout` determines how latents `[B, K, D]` enter the output projection: "straight" projects each
    token, "legacy" first reinterprets the memory as `[B, D, K]`, which mixes tokens and channels. The
    released weights were trained with "legacy" and require it.
    """

    patch_size: int = Field(default=16, ge=1)
    width: int = Field(default=768, ge=1)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    latent_layout: Literal["straight", "legacy"] = "straight"

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self

    def check(self, image_size: int) -> None:
        """Reject images that cannot be divided into patches.

        Raises:
            ValueError: the sizes do not fit; the message names both.
        """
        if image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {image_size}")

    def build(
        self,
        image_size: int,
        num_latent_tokens: int,
        token_dim: int,
        generator: torch.Generator | None = None,
    ) -> ViTEncoder:
        """Build an encoder of square images, with weights drawn from `generator` (None: seed 0)."""
        return ViTEncoder(self, image_size, num_latent_tokens, token_dim, generator)


class ViTEncoder(Encoder):
    """Processes patches and K learned queries by the same blocks; the outputs at the queries are Z_e."""

    config: ViTEncoderConfig

    def __init__(
        self,
        config: ViTEncoderConfig,
        image_size: int,
        num_latent_tokens: int,
        token_dim: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, image_size, num_latent_tokens, token_dim)
        width, num_patches = config.width, (image_size // config.patch_size) ** 2
        self.patch_embed = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size)
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.image_positions = nn.Parameter(torch.empty(1 + num_patches, width))
        self.queries = nn.Parameter(torch.empty(num_latent_tokens, width))
        self.query_positions = nn.Parameter(torch.empty(num_latent_tokens, width))
        self.norm_in = nn.LayerNorm(width)
        self.blocks = transformer(width, config.depth, config.heads)
        self.norm_out = nn.LayerNorm(width)
        self.to_latents = nn.Linear(width, token_dim)
        initialize_transformer(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, K, Dq]`.

        Raises:
            ValueError: the size differs; other shapes with as many patches would otherwise be accepted.
        """
        side = self.image_size
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
