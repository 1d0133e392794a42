"""The decoder: teacher codes, some of them masked, from the quantized latent tokens (Sections 3.1, 3.2).

One call predicts the distribution of every code given Z_q and the codes that are already known,
p(M | Z_q, known codes); iterative decoding (`sftok.decoding`) calls it once a step.
"""

from __future__ import annotations

from typing import Self

import torch
from einops import repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.config import Config
from sftok.models.layers import initialise_transformer, transformer


class DecoderConfig(Config):
    """The shape of a decoder: N codes of a vocabulary of V, from K latent tokens."""

    num_latent_tokens: int = Field(ge=1)
    token_dim: int = Field(ge=1)
    num_codes: int = Field(ge=1)
    vocabulary: int = Field(ge=2)
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} does not divide width {self.width}")
        return self


class Decoder(nn.Module):
    """f_d of the paper: [M; Z_q] to the logits of M hat."""

    def __init__(self, config: DecoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embed_codes = nn.Embedding(config.vocabulary + 1, width)
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.code_positions = nn.Parameter(torch.empty(1 + config.num_codes, width))
        self.embed_latents = nn.Linear(config.token_dim, width)
        self.latent_positions = nn.Parameter(torch.empty(config.num_latent_tokens, width))
        self.norm_in = nn.LayerNorm(width)
        self.blocks = transformer(width, config.depth, config.heads)
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Sequential(
            nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, config.vocabulary)
        )
        initialise_transformer(self, generator)

    @property
    def mask_id(self) -> int:
        """The id that stands for an unknown code: V, one past the vocabulary."""
        return self.config.vocabulary

    def forward(self, code_ids: Tensor, quantized: Tensor) -> Tensor:
        """Logits of every code.

        Args:
            code_ids: int64 `[B, N]` in 0..V, V where the code is masked.
            quantized: `[B, K, Dq]`.

        Returns:
            Logits `[B, N, V]`.
        """
        class_token = repeat(self.class_token, "one d -> b one d", b=code_ids.shape[0])
        codes = torch.cat([class_token, self.embed_codes(code_ids)], dim=1) + self.code_positions
        latents = self.embed_latents(quantized) + self.latent_positions
        tokens = self.blocks(self.norm_in(torch.cat([codes, latents], dim=1)))
        return self.head(self.norm_out(tokens[:, 1 : codes.shape[1]]))

    def first_pass(self, quantized: Tensor) -> Tensor:
        """Logits `[B, N, V]` from the tokens `[B, K, Dq]` alone, every code masked: M_1 of 3.2."""
        everywhere = (len(quantized), self.config.num_codes)
        return self(torch.full(everywhere, self.mask_id, device=quantized.device), quantized)
