"""FSQ: finite scalar quantization rounds each channel to one of a few levels (arXiv 2309.15505).

The codebook is implicit: every combination of levels is a code. Nothing is learned and there is no loss. As
in the authors' code and COSMOS, tanh bounds the latents, which are shifted if the number of levels is even,
and gradients pass straight through the rounding.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig

_MARGIN = 1e-3
"""The bound extends slightly beyond the outermost levels, so that these can be reached."""


class FSQConfig(QuantizerConfig, name="fsq"):
    """The number of levels of each channel; latents have as many channels as there are entries."""

    zero_is_a_code: ClassVar[bool] = True

    levels: tuple[int, ...] = Field(min_length=1)

    @field_validator("levels")
    @classmethod
    def _at_least_two(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        if min(levels) < 2:
            raise ValueError("each channel needs at least 2 levels")
        return levels

    @property
    def codebook_size(self) -> int:
        """The number of combinations of levels."""
        return math.prod(self.levels)

    def check(self, token_dim: int, num_latents: int) -> None:
        """Reject latents with a different number of channels."""
        if len(self.levels) != token_dim:
            raise ValueError(
                f"fsq: {len(self.levels)} levels for latents of {token_dim} channels; set token_dim to "
                f"{len(self.levels)}"
            )

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> FSQ:
        """Build the quantizer; nothing is drawn, since it has no weights."""
        return FSQ(self)


class FSQ(nn.Module):
    """Rounds each channel of bounded latents."""

    levels: Tensor
    basis: Tensor

    def __init__(self, config: FSQConfig) -> None:
        super().__init__()
        self.config = config
        levels = torch.tensor(config.levels)
        self.register_buffer("levels", levels, persistent=False)
        basis = torch.cat([torch.ones(1, dtype=torch.int64), levels.cumprod(0)[:-1]])
        self.register_buffer("basis", basis, persistent=False)

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """Return all codes, `[V, Dq]`, in the order of their ids."""
        return self.lookup(torch.arange(self.codebook_size, device=self.levels.device).unsqueeze(0))[0]

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, Dq]`, each independently. Nothing is drawn, and all losses are zero."""
        with torch.autocast(latents.device.type, enabled=False):
            bounded = self.bound(latents.float())
            rounded = bounded + (bounded.round() - bounded).detach()
            zero = bounded.new_zeros(())
            return Quantized(self._ids(bounded.round()), rounded / self._half, zero, zero, zero)

    def bound(self, latents: Tensor) -> Tensor:
        """Bound latents `[..., Dq]` to the levels of their channels, before rounding."""
        reach = (self.levels - 1) * (1 + _MARGIN) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return (latents + (offset / reach).atanh()).tanh() * reach - offset

    @torch.no_grad()
    def assign(self, latents: Tensor) -> Tensor:
        """Return the id of each latent: `[B, K, Dq]` to int64 `[B, K]`."""
        with torch.autocast(latents.device.type, enabled=False):
            return self._ids(self.bound(latents.float()).round())

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the code of each id: int64 `[B, K]` to float32 `[B, K, Dq]` in [-1, 1]."""
        digits = ids.unsqueeze(-1) // self.basis % self.levels
        return (digits - self._half).float() / self._half

    @property
    def _half(self) -> Tensor:
        return self.levels // 2

    def _ids(self, rounded: Tensor) -> Tensor:
        # The first channel varies fastest.
        return ((rounded.long() + self._half) * self.basis).sum(-1)
