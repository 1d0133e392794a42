"""ViT-VQGAN: a Vision Transformer on each side of the quantizer (arXiv 2110.04627, Section 3.1).

As in its public implementation, the position embeddings are fixed sines, the MLP's activation is tanh,
queries, keys and values have no bias, and a transposed convolution maps the last tokens to pixels. Each half
ends in a layer norm.
"""

from __future__ import annotations

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from sftok.models.autoencoders.base import AutoencoderConfig, check_patches, to_grid, to_sequence
from sftok.models.layers import attend


class ViTVQGANConfig(AutoencoderConfig, name="vit-vqgan"):
    """The shape of both halves. The defaults are the base model: 32x32 latents of a 256-pixel image.

    Attributes:
        patch_size: pixels per side of a patch, which has one latent.
        mlp_width: hidden channels of the MLP.
        head_width: channels of an attention head; the heads need not add up to `width`.
    """

    patch_size: int = Field(default=8, ge=1)
    width: int = Field(default=768, ge=4, multiple_of=4)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)
    mlp_width: int = Field(default=3072, ge=1)
    head_width: int = Field(default=64, ge=1)

    def num_latents(self, image_size: int) -> int:
        """Return the number of latents, N: one per patch."""
        return (image_size // self.patch_size) ** 2

    def check(self, image_size: int, latent_dim: int) -> None:
        """Reject images that cannot be divided into patches.

        Raises:
            ValueError: the sizes do not fit; the message names both.
        """
        check_patches(self.patch_size, image_size)

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> ViTVQGANEncoder:
        """Build the encoder, with weights drawn from `generator` (None: seed 0)."""
        return ViTVQGANEncoder(self, image_size // self.patch_size, latent_dim, generator)

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> ViTVQGANDecoder:
        """Build the decoder, with weights drawn from `generator` (None: seed 0)."""
        return ViTVQGANDecoder(self, image_size // self.patch_size, latent_dim, generator)


class Block(nn.Module):
    """Attention, then an MLP with tanh, each after a layer norm and with a residual connection."""

    def __init__(self, config: ViTVQGANConfig) -> None:
        super().__init__()
        self.heads = config.heads
        width, inner = config.width, config.heads * config.head_width
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.proj = nn.Linear(inner, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_width), nn.Tanh(), nn.Linear(config.mlp_width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens `[B, N, W]` to `[B, N, W]`."""
        joint = rearrange(
            self.qkv(self.norm1(tokens)), "b n (three h d) -> three b h n d", three=3, h=self.heads
        )
        tokens = tokens + self.proj(rearrange(attend(*joint), "b h n d -> b n (h d)"))
        return tokens + self.mlp(self.norm2(tokens))


class ViTVQGANEncoder(nn.Module):
    """Maps images to one latent per patch."""

    positions: Tensor

    def __init__(
        self, config: ViTVQGANConfig, grid: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.patch_embed = nn.Conv2d(3, config.width, config.patch_size, stride=config.patch_size)
        self.register_buffer("positions", sine_positions(grid, config.width))
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.to_latents = nn.Linear(config.width, latent_dim)
        _initialize(self, generator)

    def forward(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`."""
        tokens = to_sequence(self.patch_embed(images)) + self.positions
        return self.to_latents(self.norm(self.blocks(tokens)))


class ViTVQGANDecoder(nn.Module):
    """Maps one quantized latent per patch to images."""

    positions: Tensor

    def __init__(
        self, config: ViTVQGANConfig, grid: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.grid = grid
        self.from_latents = nn.Linear(latent_dim, config.width)
        self.register_buffer("positions", sine_positions(grid, config.width))
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.width)
        self.to_pixels = nn.ConvTranspose2d(config.width, 3, config.patch_size, stride=config.patch_size)
        _initialize(self, generator)

    def forward(self, latents: Tensor) -> Tensor:
        """Decode quantized latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
        tokens = self.norm(self.blocks(self.from_latents(latents) + self.positions))
        return self.to_pixels(to_grid(tokens, self.grid))


def sine_positions(grid: int, width: int) -> Tensor:
    """Fixed position embeddings `[N, W]` of a square grid; the first half of the channels is the column's."""
    frequencies = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    angles = torch.arange(grid, dtype=torch.float64).unsqueeze(1) * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], dim=1).float()
    return torch.cat([axis.repeat(grid, 1), axis.repeat_interleave(grid, 0)], dim=1)


def _initialize(module: nn.Module, generator: torch.Generator | None) -> None:
    """Initialize with Xavier uniform weights; convolutions count as matrices `[first dimension, rest]`."""
    generator = generator or torch.Generator().manual_seed(0)
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(child.weight.data.flatten(1), generator=generator)
            if child.bias is None:
                continue
            bound = 0.0 if isinstance(child, nn.Linear) else child.weight[0].numel() ** -0.5
            nn.init.uniform_(child.bias, -bound, bound, generator=generator)
