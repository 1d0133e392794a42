"""ImageFolder: latents in several branches from one Vision Transformer (arXiv 2410.01756, Section 3.2).

Class token, patches and the learned latent tokens of every branch attend to each other in the encoder, which
returns the latent tokens. All branches cover the same positions of the image: their latents are concatenated
along channels, quantized branch by branch, and enter the decoder as one grid, along with a mask token per
patch.
"""

from __future__ import annotations

from typing import Self

import torch
from einops import rearrange, repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.models.autoencoders.base import AutoencoderConfig, check_patches, to_grid, to_sequence
from sftok.models.layers import TransformerBlock, check_heads, initialize_transformer
from sftok.models.resizing import resize


class ImageFolderConfig(AutoencoderConfig, name="imagefolder"):
    """The shape of both halves. The defaults are the released tokenizer's, whose ViT is DINOv2-B's.

    Attributes:
        patch_size: pixels per side of a patch.
        latent_grid: latents per side, independent of the number of patches.
        branches: latents at each position, each with `latent_dim / branches` channels.
        layer_scale: initial scale of every layer's output. DINOv2's are small, and grow in training.
    """

    patch_size: int = Field(default=16, ge=1)
    width: int = Field(default=768, ge=1)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    latent_grid: int = Field(default=11, ge=1)
    branches: int = Field(default=2, ge=1)
    layer_scale: float = Field(default=1e-5, gt=0)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self

    def num_latents(self, image_size: int) -> int:
        """Return the number of latents, N, for any image size; all branches at one position count as one."""
        return self.latent_grid**2

    def check(self, image_size: int, latent_dim: int) -> None:
        """Reject images that patches, and latents that branches, do not divide evenly.

        Raises:
            ValueError: the sizes do not fit; the message names both.
        """
        check_patches(self.patch_size, image_size)
        if latent_dim % self.branches:
            raise ValueError(f"latent_dim {latent_dim} is not divisible by branches {self.branches}")

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> ImageFolderEncoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return ImageFolderEncoder(self, image_size // self.patch_size, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> ImageFolderDecoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return ImageFolderDecoder(self, image_size // self.patch_size, latent_dim, generator)


class ScaledBlock(TransformerBlock):
    """A Transformer block with a learned scale on each layer's output, and DINOv2's epsilon."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.norm1.eps = self.norm2.eps = 1e-6
        self.scale1 = nn.Parameter(torch.empty(width))
        self.scale2 = nn.Parameter(torch.empty(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `[B, L, W]` to `[B, L, W]`."""
        tokens = tokens + self.scale1 * self.attn(self.norm1(tokens))
        return tokens + self.scale2 * self.mlp(self.norm2(tokens))


class Trunk(nn.Module):
    """Shared by both halves: class token, positions of the patches, blocks and a norm."""

    def __init__(self, config: ImageFolderConfig, grid: int, levels: int) -> None:
        super().__init__()
        self.config, self.grid = config, grid
        width = config.width
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.positions = nn.Parameter(torch.empty(1 + grid**2, width))
        self.level_embedding = nn.Parameter(torch.empty(levels, width))
        self.blocks = nn.Sequential(*(ScaledBlock(width, config.heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def latent_positions(self) -> Tensor:
        """Resize the positions of the patches to the latents' grid, bicubic with antialiasing: `[N, W]`."""
        side = self.config.latent_grid
        patches = to_grid(self.positions[None, 1:], self.grid).float()
        return to_sequence(resize(patches, (side, side), "bicubic", antialias=True))[0]

    def initialize(self, generator: torch.Generator | None) -> None:
        """Draw all weights; the scales of layers are set to `layer_scale`."""
        initialize_transformer(self, generator)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith((".scale1", ".scale2")):
                nn.init.constant_(parameter, self.config.layer_scale)


class ImageFolderEncoder(Trunk):
    """Maps images to a grid of latents, with branches concatenated along channels."""

    def __init__(
        self, config: ImageFolderConfig, grid: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config, grid, levels=1 + config.branches)
        width, size = config.width, config.patch_size
        self.patch_embed = nn.Conv2d(3, width, size, stride=size)
        self.latent_tokens = nn.Parameter(torch.empty(config.branches, config.latent_grid**2, width))
        self.to_latents = nn.Linear(width, latent_dim // config.branches)
        generator = generator or torch.Generator().manual_seed(0)
        self.initialize(generator)
        # Initially, latent tokens differ only in level and position.
        nn.init.normal_(self.latent_tokens, std=1e-6, generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        batch = images.shape[0]
        patches = to_sequence(self.patch_embed(2 * images - 1))
        class_token = repeat(self.class_token, "one w -> b one w", b=batch).to(patches.dtype)
        image_tokens = torch.cat([class_token, patches], dim=1) + self.positions + self.level_embedding[0]
        latents = self.latent_tokens + self.latent_positions() + self.level_embedding[1:, None]
        latents = repeat(latents, "branch n w -> b (branch n) w", b=batch)
        tokens = self.blocks(torch.cat([image_tokens, latents], dim=1))
        found = self.to_latents(self.norm(tokens[:, image_tokens.shape[1] :]))
        return rearrange(found, "b (branch n) d -> b n (branch d)", branch=self.config.branches)


class ImageFolderDecoder(Trunk):
    """Maps a grid of quantized latents, with branches concatenated along channels, to images."""

    def __init__(
        self, config: ImageFolderConfig, grid: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(config, grid, levels=2)
        self.mask_token = nn.Parameter(torch.empty(1, config.width))
        self.from_latents = nn.Linear(latent_dim, config.width)
        self.to_pixels = nn.Linear(config.width, 3 * config.patch_size**2)
        self.initialize(generator)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode quantized latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        batch, num_patches = latents.shape[0], self.grid**2
        masks = repeat(self.mask_token, "one w -> (n one) w", n=num_patches)
        patches = torch.cat([self.class_token, masks]) + self.positions + self.level_embedding[0]
        known = self.from_latents(latents) + self.latent_positions() + self.level_embedding[1]
        # The class token enters a second time, before the latents.
        again = self.class_token + self.positions[:1] + self.level_embedding[1]
        start = repeat(torch.cat([patches, again]), "n w -> b n w", b=batch)
        tokens = self.norm(self.blocks(torch.cat([start, known], dim=1)))
        pixels = self.to_pixels(tokens[:, 1 : 1 + num_patches])
        size = self.config.patch_size
        images = rearrange(pixels, "b (h w) (p q c) -> b c (h p) (w q)", h=self.grid, p=size, q=size)
        return (images + 1) / 2
