"""Vector quantization as a part of the decoder: latents stay continuous until they are decoded.

The published LDM-4 for ImageNet has such an autoencoder (arXiv 2112.10752, Section 3.1): its generator learns
latents before quantization.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from sftok.quantizers.vq import VQ, VQConfig


class LateVQConfig(VQConfig, name="late-vq"):
    """Codes used only by the decoder; the defaults are LDM-4's, whose loss is that of taming's VQGAN."""

    continuous: ClassVar[bool] = True

    commitment_cost: float = Field(default=1.0, ge=0)
    codebook_cost: float = Field(default=0.25, ge=0)
    use_l2_norm: bool = False

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> LateVQ:
        """Build a quantizer of `token_dim` channels, with weights from `generator` (None: seed 0)."""
        return LateVQ(self, token_dim, generator)


class LateVQ(VQ):
    """Trained like any other codebook."""

    def assign(self, latents: Tensor) -> Tensor:
        """Return latents `[B, N, D]` unchanged, in place of ids."""
        return latents

    def lookup(self, latents: Tensor) -> Tensor:
        """Return the codes nearest to latents, both `[B, N, D]`."""
        return super().lookup(super().assign(latents))
