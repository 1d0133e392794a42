"""The decoder: predicts teacher codes, some of them known, from quantized latent tokens (Sections 3.1, 3.2).

One call predicts the distribution of every code given Z_q and the codes that are already known,
p(M | Z_q, known codes); iterative decoding (`sftok.decoding`) makes one call per step.
"""

from __future__ import annotations

from typing import Self

import torch
from einops import repeat
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.models.base import Decoder, DecoderConfig
from sftok.models.layers import check_heads, initialize_transformer, transformer


class ViTDecoderConfig(DecoderConfig, name="vit"):
    """A Vision Transformer over codes and latent tokens; the default is ViT-B (Section 4.1)."""

    width: int = Field(default=768, ge=1)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=12, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> Self:
        check_heads(self.width, self.heads)
        return self

    def build(
        self,
        num_latent_tokens: int,
        token_dim: int,
        num_codes: int,
        vocabulary: int,
        generator: torch.Generator | None = None,
    ) -> ViTDecoder:
        """Build a decoder with weights drawn from `generator` (None: seed 0)."""
        return ViTDecoder(self, num_latent_tokens, token_dim, num_codes, vocabulary, generator)


class ViTDecoder(Decoder):
    """Processes [M; Z_q] by the same blocks; the outputs at the codes' positions are the logits of M hat."""

    config: ViTDecoderConfig

    def __init__(
        self,
        config: ViTDecoderConfig,
        num_latent_tokens: int,
        token_dim: int,
        num_codes: int,
        vocabulary: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(config, num_codes, vocabulary)
        width = config.width
        self.embed_codes = nn.Embedding(vocabulary + 1, width)
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.code_positions = nn.Parameter(torch.empty(1 + num_codes, width))
        self.embed_latents = nn.Linear(token_dim, width)
        self.latent_positions = nn.Parameter(torch.empty(num_latent_tokens, width))
        self.norm_in = nn.LayerNorm(width)
        self.blocks = transformer(width, config.depth, config.heads)
        self.norm_out = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(width, 2 * width), nn.Tanh(), nn.Linear(2 * width, vocabulary))
        initialize_transformer(self, generator)

    def forward(self, code_ids: Tensor, quantized: Tensor) -> Tensor:
        """Compute logits of every code.

        Args:
            code_ids: int64 `[B, N]` in 0..V, where V marks a masked code.
            quantized: `[B, K, Dq]`.

        Returns:
            Logits `[B, N, V]`.
        """
        class_token = repeat(self.class_token, "one d -> b one d", b=code_ids.shape[0])
        codes = torch.cat([class_token, self.embed_codes(code_ids)], dim=1) + self.code_positions
        latents = self.embed_latents(quantized) + self.latent_positions
        tokens = self.blocks(self.norm_in(torch.cat([codes, latents], dim=1)))
        return self.head(self.norm_out(tokens[:, 1 : codes.shape[1]]))
