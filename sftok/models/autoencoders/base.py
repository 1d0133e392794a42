"""What an autoencoder is: images to latents and back, whatever quantizer stands between the two halves."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import nn

from sftok.components import Component


class AutoencoderConfig(Component, family="autoencoder", package="sftok.models.autoencoders"):
    """The two halves of a tokenizer that is trained on pixels.

    Latents are a sequence `[B, N, D]`; those of a 2D tokenizer are its grid, row by row.
    """

    @abstractmethod
    def num_latents(self, image_size: int) -> int:
        """Latents per image, N."""

    def check(self, image_size: int, latent_dim: int) -> None:
        """Refuse images or latents that the networks cannot have.

        Raises:
            ValueError: `image_size` pixels per side or `latent_dim` channels do not fit.
        """

    @abstractmethod
    def build_encoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        """Images `[B, 3, H, W]` in [0, 1] to latents `[B, N, D]`; weights from `generator` (None: seed 0)."""

    @abstractmethod
    def build_decoder(
        self, image_size: int, latent_dim: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        """Quantized latents `[B, N, D]` to images `[B, 3, H, W]` around [0, 1], not clamped."""
