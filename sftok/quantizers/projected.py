"""A frozen codebook behind a trained linear projection (VQGAN-LC, arXiv 2406.11837).

The codes are given: clustered features of images. The projection moves all of them at every step, so none
falls out of use, however large the codebook is.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, commit, nearest


class ProjectedConfig(QuantizerConfig, name="projected"):
    """A codebook of `codebook_size` given vectors; the defaults are the authors' (CLIP features of 768).

    Attributes:
        source_dim: channels of the given vectors.
        commitment_cost: weight of the loss that pulls latents to their projected codes.
        codebook_cost: weight of the loss that pulls projected codes to their latents.
    """

    codebook_size: int = Field(default=100_000, ge=2)
    source_dim: int = Field(default=768, ge=1)
    commitment_cost: float = Field(default=1.0, ge=0)
    codebook_cost: float = Field(default=0.33, ge=0)

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Projected:
        """Build a quantizer of `token_dim` channels, which has no codes until `load_codebook`.

        The projection's weights come from `generator` (None: seed 0).
        """
        return Projected(self, token_dim, generator)


class Projected(nn.Module):
    """Nearest neighbors among projected codes; the gradient of the codes trains the projection."""

    source: Tensor
    """The frozen codes `[V, source_dim]`, saved with the weights; NaN until they are loaded."""

    def __init__(
        self, config: ProjectedConfig, token_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("source", torch.full((config.codebook_size, config.source_dim), torch.nan))
        self.projection = nn.Linear(config.source_dim, token_dim)
        generator = generator or torch.Generator().manual_seed(0)
        nn.init.normal_(self.projection.weight, std=token_dim**-0.5, generator=generator)
        bound = config.source_dim**-0.5
        nn.init.uniform_(self.projection.bias, -bound, bound, generator=generator)

    @torch.no_grad()
    def load_codebook(self, codes: Tensor) -> None:
        """Use `codes` `[V, source_dim]` as the frozen codebook.

        Raises:
            ValueError: the codes have another shape, or are not finite.
        """
        if codes.shape != self.source.shape:
            raise ValueError(
                f"a codebook of shape {list(codes.shape)}: the quantizer has {list(self.source.shape)}; "
                "set codebook_size and source_dim to those of the codebook"
            )
        if not codes.isfinite().all():
            raise ValueError("the codebook has numbers that are not finite; compute it again")
        self.source.copy_(codes)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """Return all projected codes, `[V, Dq]`, in the form that latents are compared with.

        Raises:
            RuntimeError: no codes were loaded.
        """
        if self.source[0, 0].isnan():
            raise RuntimeError("the projected quantizer has no codes yet: call load_codebook(CODES) first")
        return self.projection(self.source)

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, N, Dq]` to their nearest projected codes. Nothing is drawn."""
        with torch.autocast(latents.device.type, enabled=False):
            latents, codebook = latents.float(), self.codebook()
            ids = nearest(latents, codebook)
            return commit(latents, codebook[ids], ids, self.config.commitment_cost, self.config.codebook_cost)

    def assign(self, latents: Tensor) -> Tensor:
        """Return the nearest code of each latent: `[B, N, Dq]` to int64 `[B, N]`."""
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            return nearest(latents.float(), self.codebook())

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the projected code of each id: int64 `[B, N]` to float32 `[B, N, Dq]`."""
        with torch.autocast(ids.device.type, enabled=False):
            return self.codebook()[ids]
