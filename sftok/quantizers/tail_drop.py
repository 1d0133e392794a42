"""Tail drop: images in any number of latent tokens, counted from the first (One-D-Piece, reference [30]).

In training, a random tail of each image's tokens is dropped, so that the first tokens learn to carry the most
information. A dropped token is the zero vector, which is not a code of any normalized codebook, so the
decoder sees that it is missing. Both classes wrap a quantizer that is injected into a model; models are
unaware of them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from sftok.device import to_device
from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, Quantizer


class TailDrop(nn.Module):
    """A training quantizer that drops a random tail: 1 to K tokens are kept, drawn uniformly for each image.

    Its losses are those of all tokens: dropping affects what the decoder sees, not what is learned.
    """

    quantizer: Quantizer

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, Dq]` and drop a random tail of each image.

        Raises:
            ValueError: there is no generator; outside training nothing is dropped at random.
        """
        if generator is None:
            raise ValueError("TailDrop draws how many tokens to keep, so it needs a generator")
        quantized = self.quantizer(latents, generator, world)
        batch, length = latents.shape[:2]
        shape = (world.size * batch, 1)
        drawn = torch.randint(1, length + 1, shape, generator=generator, device=generator.device)
        kept = to_device(world.share(drawn), latents.device)
        return replace(quantized, quantized=first_tokens(quantized.quantized, kept))


class FirstTokens(nn.Module):
    """A quantizer for decoding that only looks up the first `kept` tokens."""

    quantizer: Quantizer

    def __init__(self, quantizer: Quantizer, kept: int) -> None:
        super().__init__()
        if kept < 1:
            raise ValueError(f"{kept} tokens kept: an image needs at least one")
        self.quantizer = quantizer
        self.kept = kept

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.quantizer.codebook_size

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, K, Dq]`; those after the first `kept` become zero."""
        quantized = self.quantizer(latents, generator, world)
        return replace(quantized, quantized=first_tokens(quantized.quantized, self.kept))

    def assign(self, latents: Tensor) -> Tensor:
        """Return the nearest code of each latent: `[B, K, Dq]` to int64 `[B, K]`, with unused later ids."""
        return self.quantizer.assign(latents)

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the code of each id: int64 `[B, K]` to `[B, K, Dq]`, zero after the first `kept`."""
        return first_tokens(self.quantizer.lookup(ids), self.kept)


def first_tokens(vectors: Tensor, kept: Tensor | int) -> Tensor:
    """Return `vectors` `[B, K, D]` with zeros from position `kept` (a number, or `[B, 1]`) on."""
    positions = torch.arange(vectors.shape[1], device=vectors.device)
    return vectors * (positions < kept).unsqueeze(-1)
