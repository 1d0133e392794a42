"""TiTok's decoder: one pass over equal mask tokens, and the heads that turn its patches into images.

Two heads were released. `CodesHead` (B64, L32) predicts the teacher's codes and feeds their expected
embeddings to the VQGAN's pixel decoder; `PixelsHead` (BL64 and later) predicts each patch's pixels directly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.config import Config
from sftok.models.base import BackboneConfig
from sftok.models.layers import check_heads, initialize_transformer, transformer


class TiTokDecoderConfig(Config):
    """The shape of the decoder."""

    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self


class CodesHeadConfig(Config):
    """A head that predicts the codes of a VQGAN, whose pixel decoder follows."""

    kind: Literal["codes"] = "codes"
    pixel_decoder: BackboneConfig

    def grid(self, image_size: int) -> int:
        """Return the number of patches per side.

        Raises:
            ValueError: patches do not cover the image evenly.
        """
        self.pixel_decoder.check(image_size)
        return self.pixel_decoder.code_grid(image_size)


class PixelsHeadConfig(Config):
    """A head that predicts pixels."""

    kind: Literal["pixels"] = "pixels"
    patch_size: int = Field(ge=1)

    def grid(self, image_size: int) -> int:
        """Return the number of patches per side.

        Raises:
            ValueError: patches do not cover the image evenly.
        """
        if image_size % self.patch_size:
            raise ValueError(f"patch_size {self.patch_size} does not divide image_size {image_size}")
        return image_size // self.patch_size


HeadConfig = Annotated[CodesHeadConfig | PixelsHeadConfig, Field(discriminator="kind")]


class TiTokDecoder(nn.Module):
    """Maps quantized latent tokens to one vector per patch, using mask tokens that differ in position."""

    def __init__(
        self,
        config: TiTokDecoderConfig,
        num_latent_tokens: int,
        token_dim: int,
        num_patches: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.num_patches = config, num_patches
        width = config.width
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.mask_token = nn.Parameter(torch.empty(1, width))
        self.patch_positions = nn.Parameter(torch.empty(1 + num_patches, width))
        self.embed_latents = nn.Linear(token_dim, width)
        self.latent_positions = nn.Parameter(torch.empty(num_latent_tokens, width))
        self.norm_in = nn.LayerNorm(width)
        self.blocks = transformer(width, config.depth, config.heads)
        self.norm_out = nn.LayerNorm(width)
        initialize_transformer(self, generator)

    def forward(self, quantized: Tensor) -> Tensor:
        """Map quantized latents `[B, K, Dq]` to patches `[B, N, D]`."""
        masks = repeat(self.mask_token, "one d -> (n one) d", n=self.num_patches)
        patches = torch.cat([self.class_token, masks]) + self.patch_positions
        patches = repeat(patches, "n d -> b n d", b=quantized.shape[0])
        latents = self.embed_latents(quantized) + self.latent_positions
        tokens = self.blocks(self.norm_in(torch.cat([patches, latents], dim=1)))
        return self.norm_out(tokens[:, 1 : patches.shape[1]])


class CodesHead(nn.Module):
    """Maps patches to logits of a VQGAN's codes, to their expected embeddings, to pixels."""

    def __init__(
        self,
        config: CodesHeadConfig,
        width: int,
        image_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        vocabulary = config.pixel_decoder.codebook_size
        self.to_logits = nn.Sequential(
            nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, vocabulary)
        )
        generator = generator or torch.Generator().manual_seed(0)
        initialize_transformer(self.to_logits, generator)
        self.pixel_decoder = config.pixel_decoder.build_decoder(image_size, generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches `[B, N, D]` to images `[B, 3, H, W]`, not clamped."""
        return self.pixel_decoder.decode_soft(self.to_logits(patches))


class PixelsHead(nn.Module):
    """Maps patches to their pixels, and applies one convolution across the seams."""

    def __init__(
        self,
        config: PixelsHeadConfig,
        width: int,
        image_size: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.config, self.grid = config, config.grid(image_size)
        self.to_pixels = nn.Linear(width, 3 * config.patch_size**2)
        self.across_seams = nn.Conv2d(3, 3, 3, padding=1)
        initialize_transformer(self, generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Map patches `[B, N, D]` to images `[B, 3, H, W]`, not clamped."""
        size = self.config.patch_size
        pixels = rearrange(
            self.to_pixels(patches),
            "b (h w) (p q c) -> b c (h p) (w q)",
            h=self.grid,
            p=size,
            q=size,
        )
        return self.across_seams(pixels)


HEADS: dict[str, Callable[..., CodesHead | PixelsHead]] = {"codes": CodesHead, "pixels": PixelsHead}
"""The heads by the `kind` of their configuration."""
