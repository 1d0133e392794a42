"""Residual quantization: each code corrects the remainder of the previous ones (RQ-VAE, arXiv 2203.01941).

All depths share one codebook. No gradient trains it: in training mode, `forward` moves each code towards the
mean of the residuals that chose it, and restarts codes that are hardly chosen. Both happen at every depth,
before the search at the next depth, as in the authors' code. Ids in training therefore differ from those in
evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, nearest, straight_through, without_tf32

_SMOOTHING = 1e-5
"""Added to every code's usage when sums are divided by it."""

_NOISE = 0.01
"""Spread of the noise on latents that are repeated to restart more codes than there are latents."""


class ResidualConfig(QuantizerConfig, name="residual"):
    """`depth` codes for each latent, all from one codebook.

    Attributes:
        commitment_cost: weight of the loss that pulls latents to each partial sum of their codes.
        decay: decay of the moving averages of usage and sums.
        restart_below: average usage (latents per depth and batch) below which a code is replaced by a
            residual of the batch; 0 restarts none.
    """

    codebook_size: int = Field(default=16384, ge=2)
    depth: int = Field(default=4, ge=1)
    commitment_cost: float = Field(default=0.25, ge=0)
    decay: float = Field(default=0.99, ge=0, lt=1)
    restart_below: float = Field(default=1.0, ge=0)

    @property
    def follows_batches(self) -> bool:
        """Return True, since every batch changes the codebook."""
        return True

    def ids_per_image(self, num_latents: int) -> int:
        """Return `depth` ids per latent; those of one latent are adjacent, the coarsest first."""
        return num_latents * self.depth

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Residual:
        """Build a quantizer of `token_dim` channels, with codes from `generator` (None: seed 0)."""
        return Residual(self, token_dim, generator)


class Residual(nn.Module):
    """A codebook that follows the residuals. Codes start standard normal and unused."""

    codes: Tensor
    usage: Tensor
    sums: Tensor

    def __init__(
        self, config: ResidualConfig, token_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        codes = torch.empty(config.codebook_size, token_dim)
        nn.init.normal_(codes, generator=generator or torch.Generator().manual_seed(0))
        self.register_buffer("codes", codes)
        self.register_buffer("usage", torch.zeros(config.codebook_size))
        self.register_buffer("sums", codes.clone())

    @property
    def codebook_size(self) -> int:
        """Number of codes."""
        return self.config.codebook_size

    def codebook(self) -> Tensor:
        """Return all codes, `[V, Dq]`, the same at every depth."""
        return self.codes

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, N, Dq]`; in training mode, update the codebook.

        Args:
            latents: the latents.
            generator: source of restarts; required in training mode if there are any.
            world: the processes that share the batch; usage and restarts cover the whole batch (the authors
                restart from the first process's part).

        Raises:
            ValueError: restarts in training mode need a generator.
        """
        if self.training and self.config.restart_below and generator is None:
            raise ValueError("residual quantization draws restarts in training, so it needs a generator")
        update = partial(self._update, generator=generator, world=world) if self.training else None
        with torch.autocast(latents.device.type, enabled=False), without_tf32(latents.device):
            latents = latents.float()
            ids, partial_sums = self._quantize(latents, update)
            losses = [F.mse_loss(latents, partial_sum) for partial_sum in partial_sums]
            loss = self.config.commitment_cost * torch.stack(losses).mean()
            quantized = straight_through(latents, partial_sums[-1])
            return Quantized(ids, quantized, loss, loss, torch.zeros_like(loss))

    @torch.no_grad()
    def _quantize(
        self, latents: Tensor, update: Callable[[Tensor, Tensor], None] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return ids `[B, N * depth]` and the sums of the first 1 to `depth` codes, `[B, N, Dq]` each.

        `update` is called at each depth with the residuals and the ids of their codes.
        """
        total, ids, partial_sums = torch.zeros_like(latents), [], []
        for _ in range(self.config.depth):
            residuals = latents - total
            ids.append(nearest(residuals, self.codes))
            total = total + self.codes[ids[-1]]  # the codes that were searched, before the update
            partial_sums.append(total)
            if update:
                update(rearrange(residuals, "b n d -> (b n) d"), ids[-1].flatten())
        return torch.stack(ids, 2).flatten(1), partial_sums

    def _update(
        self, residuals: Tensor, ids: Tensor, generator: torch.Generator | None, world: World
    ) -> None:
        """Move the codes towards the residuals `[n, Dq]` that chose them, and restart unused ones."""
        chosen = (ids.unsqueeze(1) == torch.arange(self.codebook_size, device=ids.device)).float()
        counts = world.gather(chosen.sum(0)[None]).sum(0)
        sums = world.gather((chosen.t() @ residuals)[None]).sum(0)
        decay = self.config.decay
        self.usage.mul_(decay).add_(counts, alpha=1 - decay)
        self.sums.mul_(decay).add_(sums, alpha=1 - decay)
        if generator is not None and self.config.restart_below:
            unused = self.usage < self.config.restart_below
            candidates = restart_candidates(world.gather(residuals), self.codebook_size, generator)
            self.sums[unused] = candidates[unused]
            self.usage[unused] = 1.0
        total = self.usage.sum()
        smoothed = total * (self.usage + _SMOOTHING) / (total + self.codebook_size * _SMOOTHING)
        self.codes.copy_(self.sums / smoothed.unsqueeze(1))

    def assign(self, latents: Tensor) -> Tensor:
        """Return the ids of latents: `[B, N, Dq]` to int64 `[B, N * depth]`."""
        with torch.autocast(latents.device.type, enabled=False):
            return self._quantize(latents.float())[0]

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the sum of each latent's codes: int64 `[B, N * depth]` to float32 `[B, N, Dq]`."""
        return self.codes[rearrange(ids, "b (n depth) -> b n depth", depth=self.config.depth)].sum(2)


def restart_candidates(residuals: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose `count` of the residuals `[n, D]` without repetition; if there are fewer, repeat with noise."""
    n, dim = residuals.shape
    if n < count:
        residuals = residuals.repeat(-(-count // n), 1)
        noise = torch.rand(residuals.shape, generator=generator, device=generator.device)
        residuals = residuals + noise.to(residuals) * (_NOISE / dim**0.5)
    order = torch.randperm(len(residuals), generator=generator, device=generator.device)[:count]
    return residuals[order.to(residuals.device)]
