"""No quantization: each latent is a Gaussian, pulled towards the standard normal (the VAE of LDM-4).

The encoder outputs a mean and a log variance for every number of a latent. Training decodes a sample;
evaluation and generators use the mean.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, kept

LOG_VARIANCES = (-30.0, 20.0)
"""The range to which log variances are clamped, as in the authors' code."""


class GaussianConfig(QuantizerConfig, name="gaussian"):
    """Continuous latents; there are no ids.

    Attributes:
        kl_weight: weight of the Kullback-Leibler divergence, a mean over the numbers of all latents, as
            the pixel loss is a mean over the numbers of all images.
    """

    continuous: ClassVar[bool] = True

    kl_weight: float = Field(default=1e-6, ge=0)

    @property
    def codebook_size(self) -> int:
        """Return 0, since there are no codes."""
        return 0

    def encoder_dim(self, token_dim: int) -> int:
        """Return twice `token_dim`: a mean and a log variance for each channel."""
        return 2 * token_dim

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Gaussian:
        """Build the quantizer; nothing is drawn."""
        return Gaussian(self)


class Gaussian(nn.Module):
    """Maps moments to a sample of the latents."""

    def __init__(self, config: GaussianConfig) -> None:
        super().__init__()
        self.config = config
        self.codebook_size = config.codebook_size

    def forward(
        self, moments: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Draw a sample given moments `[B, N, 2D]`; without a generator, return the mean.

        Raises:
            RuntimeError: there is no generator in training mode.
        """
        mean, log_variance = self.moments(moments)
        latents = mean
        if self.training:
            if generator is None:
                raise RuntimeError("the gaussian posterior draws noise in training; give a generator")
            shape = (world.size * len(mean), *mean.shape[1:])
            noise = world.share(torch.randn(shape, generator=generator, device=generator.device))
            latents = mean + (log_variance / 2).exp() * noise.to(mean.device)
        return kept(latents, self.config.kl_weight * self.divergence(mean, log_variance).mean())

    @staticmethod
    def moments(moments: Tensor) -> tuple[Tensor, Tensor]:
        """Split `[B, N, 2D]` into mean and log variance, `[B, N, D]` each."""
        mean, log_variance = moments.chunk(2, -1)
        return mean, log_variance.clamp(*LOG_VARIANCES)

    @staticmethod
    def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
        """Return KL(N(mean, variance) || N(0, 1)) of each number, `[B, N, D]`."""
        return (mean.square() + log_variance.exp() - 1 - log_variance) / 2

    def assign(self, moments: Tensor) -> Tensor:
        """Return the mean `[B, N, D]` of moments `[B, N, 2D]`, in place of ids."""
        return moments.chunk(2, -1)[0]

    def lookup(self, latents: Tensor) -> Tensor:
        """Return latents `[B, N, D]` unchanged."""
        return latents
