"""The smallest autoencoder of pixels, which all tests share: a linear map of each patch."""

from __future__ import annotations

import torch
from einops.layers.torch import Rearrange
from torch import nn

from sftok.models.autoencoders.base import AutoencoderConfig


class PatchesConfig(AutoencoderConfig):
    """Patches of `patch_size` pixels per side."""

    patch_size: int = 7

    def num_latents(self, image_size: int) -> int:
        return (image_size // self.patch_size) ** 2

    def check(self, image_size: int, latent_dim: int) -> None:
        if image_size % self.patch_size:
            raise ValueError(f"image_size {image_size} is not a multiple of patch_size {self.patch_size}")

    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        side = self.patch_size
        patches = Rearrange("b c (h p) (w q) -> b (h w) (c p q)", p=side, q=side)
        return nn.Sequential(patches, _linear(3 * side**2, latent_dim, generator))

    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        side = self.patch_size
        pixels = Rearrange("b (h w) (c p q) -> b c (h p) (w q)", h=image_size // side, p=side, q=side, c=3)
        return nn.Sequential(_linear(latent_dim, 3 * side**2, generator), pixels)


PATCHES = "small_pixels:PatchesConfig"
"""How a recipe names it."""


def _linear(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.xavier_uniform_(layer.weight, generator=generator or torch.Generator().manual_seed(0))
    nn.init.zeros_(layer.bias)
    return layer
