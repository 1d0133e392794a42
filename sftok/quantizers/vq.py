"""Plain vector quantization, the quantizer of TiTok (4096 codes of 12, L2 norm): nearest code, always."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, commit, nearest


class VQConfig(QuantizerConfig, name="vq"):
    """A codebook of `codebook_size` codes."""

    codebook_size: int = Field(default=8192, ge=2)
    commitment_cost: float = Field(default=0.25, ge=0)
    use_l2_norm: bool = True

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> VQ:
        """A quantizer of latents with `token_dim` channels, with weights from `generator` (None: seed 0)."""
        return VQ(self, token_dim, generator)


class VQ(nn.Module):
    """A learned codebook; training and evaluation assign alike (Equation 1)."""

    def __init__(self, config: VQConfig, token_dim: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.codebook_size, token_dim))
        bound = 1 / config.codebook_size
        generator = generator or torch.Generator().manual_seed(0)
        nn.init.uniform_(self.embedding, -bound, bound, generator=generator)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """All codes, `[V, Dq]`, as latents are compared with them."""
        return self._scale(self.embedding)

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, Dq]` to their nearest codes. Nothing is drawn."""
        with torch.autocast(latents.device.type, enabled=False):
            points, codebook = self._scale(latents.float()), self.codebook()
            ids = nearest(points, codebook)
            return commit(points, codebook[ids], ids, self.config.commitment_cost)

    def assign(self, latents: Tensor) -> Tensor:
        """Nearest code of each latent: `[B, K, Dq]` to int64 `[B, K]`."""
        with torch.autocast(latents.device.type, enabled=False):
            return nearest(self._scale(latents.float()), self.codebook())

    def lookup(self, ids: Tensor) -> Tensor:
        """The code of each id: int64 `[B, K]` to float32 `[B, K, Dq]`."""
        return self.codebook()[ids]

    def _scale(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1) if self.config.use_l2_norm else vectors
