"""No quantization: the unchanged latents of a deterministic autoencoder (DC-AE)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, kept


class IdentityConfig(QuantizerConfig, name="identity"):
    """Continuous latents; there are no ids."""

    continuous: ClassVar[bool] = True

    @property
    def codebook_size(self) -> int:
        """Return 0, since there are no codes."""
        return 0

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Identity:
        """Build the quantizer; nothing is drawn."""
        return Identity(self)


class Identity(nn.Module):
    """Returns latents unchanged."""

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        self.codebook_size = config.codebook_size

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Return latents `[B, N, D]` unchanged, without a loss."""
        return kept(latents, latents.new_zeros(()))

    def assign(self, latents: Tensor) -> Tensor:
        """Return latents `[B, N, D]` unchanged, in place of ids."""
        return latents

    def lookup(self, latents: Tensor) -> Tensor:
        """Return latents `[B, N, D]` unchanged."""
        return latents
