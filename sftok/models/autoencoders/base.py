"""The interface of autoencoders: images to latents and back, with any quantizer between the two halves."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn

from sftok.components import Component


class AutoencoderConfig(Component, family="autoencoder", package="sftok.models.autoencoders"):
    """The two halves of a tokenizer that is trained on pixels.

    Latents are a sequence `[B, N, D]`; for a 2D tokenizer they are the positions of its grid, row by row.
    """

    on_grid: ClassVar[bool] = True
    """False for a 1D tokenizer."""

    @abstractmethod
    def num_latents(self, image_size: int) -> int:
        """Return the number of latents per image, N."""

    def check(self, image_size: int, latent_dim: int) -> None:
        """Reject images or latents that the networks cannot take.

        Raises:
            ValueError: `image_size` pixels per side or `latent_dim` channels do not fit.
        """

    @abstractmethod
    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        """Build the encoder: images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`.

        Weights are drawn from `generator` (None: seed 0).
        """

    @abstractmethod
    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        """Build the decoder: latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped.

        Weights are drawn from `generator` (None: seed 0).
        """


def to_grid(latents: Tensor, side: int) -> Tensor:
    """Arrange latents `[B, N, D]`, row by row, as a map `[B, D, h, w]` with `side` rows."""
    return rearrange(latents, "b (h w) d -> b d h w", h=side)


def to_sequence(grid: Tensor) -> Tensor:
    """Flatten a map `[B, D, h, w]` to latents `[B, N, D]`, row by row."""
    return rearrange(grid, "b d h w -> b (h w) d")


def check_patches(patch_size: int, image_size: int) -> None:
    """Reject images that cannot be divided into patches.

    Raises:
        ValueError: the sizes do not fit; the message names both.
    """
    if image_size % patch_size:
        raise ValueError(f"patch_size {patch_size} does not divide image_size {image_size}")
