"""Plain vector quantization: always the nearest code of a learned codebook.

One file serves several systems, which differ only in settings:

| system | codebook | costs | and |
| --- | --- | --- | --- |
| TiTok-B | 4096 x 12, L2 norm | commitment 0.25, codebook 1 | |
| LlamaGen | 16384 x 8, L2 norm, `unit` | commitment 0.25, codebook 1 | an entropy loss, off by default |
| ViT-VQGAN | 8192 x 32, L2 norm, `normal` | commitment 0.25, codebook 1 | `straight_through="latents"` |
| taming's VQGAN | 16384 x 256 | commitment 1, codebook 0.25 | the "legacy" loss of its releases |
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, commit, nearest, straight_through
from sftok.quantizers.entropy import code_entropies


class VQConfig(QuantizerConfig, name="vq"):
    """A codebook of `codebook_size` codes.

    Attributes:
        commitment_cost: weight of the loss that pulls latents to their codes.
        codebook_cost: weight of the loss that pulls codes to their latents.
        use_l2_norm: whether latents and codes are normalized to length 1, for comparison and decoding.
        straight_through: if latents are normalized, the gradient of the chosen codes goes either to the
            normalized latents, or past the normalization to the original latents.
        initial_codes: uniform in [-1/V, 1/V], the same normalized to length 1, or standard normal.
        entropy_weight: weight of the entropy loss in training.
        entropy_temperature: divides the squared distances from which the entropies are computed.
    """

    codebook_size: int = Field(default=8192, ge=2)
    commitment_cost: float = Field(default=0.25, ge=0)
    codebook_cost: float = Field(default=1.0, ge=0)
    use_l2_norm: bool = True
    straight_through: Literal["normalized", "latents"] = "normalized"
    initial_codes: Literal["uniform", "unit", "normal"] = "uniform"
    entropy_weight: float = Field(default=0.0, ge=0)
    entropy_temperature: float = Field(default=0.01, gt=0)

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> VQ:
        """Build a quantizer of `token_dim` channels, with weights from `generator` (None: seed 0)."""
        return VQ(self, token_dim, generator)


class VQ(nn.Module):
    """A learned codebook with the same assignment in training and evaluation (Equation 1)."""

    def __init__(self, config: VQConfig, token_dim: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.codebook_size, token_dim))
        generator = generator or torch.Generator().manual_seed(0)
        initialize_codes(self.embedding, config.initial_codes, generator)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """Return all codes, `[V, Dq]`, in the form that latents are compared with."""
        return self._scale(self.embedding)

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, Dq]` to their nearest codes. Nothing is drawn."""
        config = self.config
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            points, codebook = self._scale(latents), self.codebook()
            ids = nearest(points, codebook)
            codes = codebook[ids]
            found = commit(points, codes, ids, config.commitment_cost, config.codebook_cost)
            if config.straight_through == "latents":
                found = replace(found, quantized=straight_through(latents, codes))
            if self.training and config.entropy_weight:
                found = replace(found, loss=found.loss + self._entropy_loss(points, codebook, world))
            return found

    def assign(self, latents: Tensor) -> Tensor:
        """Return the nearest code of each latent: `[B, K, Dq]` to int64 `[B, K]`."""
        with torch.autocast(latents.device.type, enabled=False):
            return nearest(self._scale(latents.float()), self.codebook())

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the code of each id: int64 `[B, K]` to float32 `[B, K, Dq]`."""
        return self.codebook()[ids]

    def _scale(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self.config.use_l2_norm else vectors

    def _entropy_loss(self, points: Tensor, codebook: Tensor, world: World) -> Tensor:
        points = rearrange(points, "b k d -> (b k) d")
        distances = points.square().sum(1, keepdim=True) + codebook.square().sum(1)
        distances = distances - 2 * points @ codebook.t()
        sample, batch = code_entropies(-distances / self.config.entropy_temperature, world=world)
        return self.config.entropy_weight * (sample - batch)


def initialize_codes(codes: Tensor, kind: str, generator: torch.Generator) -> None:
    """Draw codes `[V, D]` in place: `uniform` in [-1/V, 1/V], the same at length 1 (`unit`), or `normal`."""
    if kind == "normal":
        nn.init.normal_(codes, generator=generator)
        return
    bound = 1 / len(codes)
    nn.init.uniform_(codes, -bound, bound, generator=generator)
    if kind == "unit":
        codes.data = F.normalize(codes.data, dim=-1)
