"""LFQ: lookup-free quantization, in which the sign of each channel is a bit (MAGVIT-v2, arXiv 2310.05737).

The codebook is implicit: every combination of signs is a code. Nothing is learned; in training, an entropy
loss makes latents certain of their code and keeps all codes in use. The defaults are Open-MAGVIT2's. MaskBit
uses 12 bits, `entropy_form="clamped"`, `entropy_weight=0.02` and `entropy_boost=2`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, straight_through
from sftok.quantizers.entropy import EntropyForm, code_entropies


class LFQConfig(QuantizerConfig, name="lfq"):
    """One bit per channel of the latents, hence `2 ** bits` codes.

    Attributes:
        bits: channels of a latent. The entropy loss computes `2 ** bits` probabilities for every latent.
        commitment_cost: weight of the loss that pulls latents to their signs.
        entropy_weight: weight of the entropy loss, which is the weighted difference of both entropies.
        sample_entropy_weight: weight of the mean entropy of a latent, which training lowers.
        batch_entropy_weight: weight of the entropy of the whole batch, which training raises.
        entropy_temperature: divides the logits from which the entropies are computed.
        entropy_form: how the logarithm is kept finite.
        entropy_boost: the entropy loss starts at `1 + entropy_boost` times its weight.
        boost_steps: training batches over which the boost falls linearly to zero.
    """

    bits: int = Field(default=18, ge=1, le=24)
    commitment_cost: float = Field(default=0.25, ge=0)
    entropy_weight: float = Field(default=0.1, ge=0)
    sample_entropy_weight: float = Field(default=1.0, ge=0)
    batch_entropy_weight: float = Field(default=1.0, ge=0)
    entropy_temperature: float = Field(default=0.01, gt=0)
    entropy_form: EntropyForm = "added"
    entropy_boost: float = Field(default=0.0, ge=0)
    boost_steps: int = Field(default=2000, ge=1)

    @property
    def codebook_size(self) -> int:
        """The number of combinations of bits."""
        return 2**self.bits

    @property
    def follows_batches(self) -> bool:
        """Whether batches are counted for the boost."""
        return self.entropy_boost > 0

    def check(self, token_dim: int, num_latents: int) -> None:
        """Reject latents with a different number of channels."""
        if self.bits != token_dim:
            raise ValueError(
                f"lfq: {self.bits} bits for latents of {token_dim} channels; set bits to {token_dim}"
            )

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> LFQ:
        """Build the quantizer; nothing is drawn, since it has no weights."""
        return LFQ(self)


class LFQ(nn.Module):
    """Signs of latents, as -1 and 1; the first channel is the least significant bit, and 0 counts as -1."""

    batches: Tensor
    """Training batches so far, which determine the boost; saved with the weights, so that runs resume.

    Stored as a float, because the averaged weights are floats."""

    def __init__(self, config: LFQConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("batches", torch.zeros(()))

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """Return all codes, `[V, Dq]` of -1 and 1, in the order of their ids."""
        return self.lookup(torch.arange(self.codebook_size, device=self.batches.device).unsqueeze(0))[0]

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, N, Dq]`; training adds the entropy loss of the whole batch."""
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            ids = self.assign(latents)
            codes = self.lookup(ids)
            commitment_loss = self.config.commitment_cost * F.mse_loss(latents, codes)
            loss = commitment_loss
            if self.training and self.config.entropy_weight:
                loss = loss + self._entropy_loss(latents, world)
            zero = torch.zeros_like(commitment_loss)
            return Quantized(ids, straight_through(latents, codes), loss, commitment_loss, zero)

    @torch.no_grad()
    def assign(self, latents: Tensor) -> Tensor:
        """Return the id of each latent: `[B, N, Dq]` to int64 `[B, N]`."""
        return ((latents > 0).long() << self._places(latents.device)).sum(-1)

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the code of each id: int64 `[B, N]` to float32 `[B, N, Dq]`."""
        return (ids.unsqueeze(-1) >> self._places(ids.device) & 1).float() * 2 - 1

    def _places(self, device: torch.device) -> Tensor:
        return torch.arange(self.config.bits, device=device)

    def _entropy_loss(self, latents: Tensor, world: World) -> Tensor:
        config = self.config
        logits = 2 * latents.flatten(0, 1) @ self.codebook().t() / config.entropy_temperature
        sample, batch = code_entropies(logits, config.entropy_form, world)
        boost = config.entropy_boost * (1 - self.batches / config.boost_steps).clamp_min(0)
        self.batches += 1
        difference = config.sample_entropy_weight * sample - config.batch_entropy_weight * batch
        return config.entropy_weight * (1 + boost) * difference
