"""Multichannel quantization: chunks of a latent's channels share one codebook (Mo-VQGAN, arXiv 2209.09002).

The costs are those of taming's releases, commitment 1 and codebook 0.25, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized
from sftok.quantizers.vq import VQ, VQConfig


class MultichannelConfig(VQConfig, name="multichannel"):
    """One codebook of `codebook_size` codes for all `chunks` equal parts of a latent's channels."""

    chunks: int = Field(default=4, ge=1)
    codebook_size: int = Field(default=1024, ge=2)
    commitment_cost: float = Field(default=1.0, ge=0)
    codebook_cost: float = Field(default=0.25, ge=0)
    use_l2_norm: bool = False

    def ids_per_image(self, num_latents: int) -> int:
        """Return `chunks` ids per latent; those of one latent are adjacent, the first channels first."""
        return num_latents * self.chunks

    def check(self, token_dim: int, num_latents: int) -> None:
        """Reject latents whose channels cannot be divided into the chunks."""
        if token_dim % self.chunks:
            raise ValueError(
                f"multichannel: {self.chunks} chunks do not divide latents of {token_dim} channels; "
                "change chunks or the channels"
            )

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Multichannel:
        """Build a quantizer of `token_dim` channels, with weights from `generator` (None: seed 0)."""
        self.check(token_dim, num_latents=1)
        return Multichannel(self, token_dim // self.chunks, generator)


class Multichannel(VQ):
    """Plain vector quantization that treats each chunk as a latent."""

    config: MultichannelConfig

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, N, Dq]`. Nothing is drawn."""
        found = super().forward(self._split(latents), generator, world)
        return replace(found, quantized=self._join(found.quantized))

    def assign(self, latents: Tensor) -> Tensor:
        """Return the nearest code of each chunk: `[B, N, Dq]` to int64 `[B, N * chunks]`."""
        return super().assign(self._split(latents))

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the concatenated codes of each latent: int64 `[B, N * chunks]` to float32 `[B, N, Dq]`."""
        return self._join(super().lookup(ids))

    def _split(self, latents: Tensor) -> Tensor:
        return rearrange(latents, "b n (chunks d) -> b (n chunks) d", chunks=self.config.chunks)

    def _join(self, vectors: Tensor) -> Tensor:
        return rearrange(vectors, "b (n chunks) d -> b n (chunks d)", chunks=self.config.chunks)
