"""Multi-scale residual quantization in several branches (ImageFolder, arXiv 2410.01756).

A branch quantizes a grid of latents from coarse to fine: at each scale it downsamples the remainder to a few
positions, takes the nearest codes, upsamples and smooths them, and subtracts the result. Branches, each with
its own codebook, take equal parts of the channels. In training, some images lose their finest scales
("quantizer dropout"), so that coarse ones carry the most information.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Self, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from pydantic import Field, model_validator
from torch import Tensor, nn

from sftok.distributed import SINGLE, World
from sftok.quantizers.base import Quantized, QuantizerConfig, nearest, straight_through, without_tf32
from sftok.quantizers.vq import initialize_codes


class MultiscaleConfig(QuantizerConfig, name="multiscale"):
    """The scales of every branch; the defaults are the authors' for 121 latents.

    Attributes:
        codebook_size: number of codes of each branch, shared by all its scales.
        scales: sides of the grids of codes, coarsest first; the last is the side of the latents' grid.
        branches: number of equal parts of the channels, each quantized separately.
        commitment_cost: weight of the loss that pulls latents to their partial sums, summed over scales.
        smoothings: number of convolutions; neighboring scales share one.
        smoothing_ratio: share of the convolution's output in the smoothed codes.
        dropout: share of a training batch, starting at its first image, that loses its finest scales.
        fewest_scales: minimum number of scales that such an image keeps; the number is drawn uniformly.
    """

    codebook_size: int = Field(default=4096, ge=2)
    scales: tuple[int, ...] = Field(default=(1, 1, 2, 3, 3, 4, 5, 6, 8, 11), min_length=1)
    branches: int = Field(default=2, ge=1)
    commitment_cost: float = Field(default=0.25, ge=0)
    smoothings: int = Field(default=4, ge=1)
    smoothing_ratio: float = Field(default=0.5, ge=0, le=1)
    dropout: float = Field(default=0.1, ge=0, le=1)
    fewest_scales: int = Field(default=3, ge=1)

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if min(self.scales) < 1 or list(self.scales) != sorted(self.scales):
            raise ValueError(f"scales {list(self.scales)} must be at least 1 and must not decrease")
        if self.dropout and self.fewest_scales > len(self.scales):
            raise ValueError(f"fewest_scales {self.fewest_scales}: there are {len(self.scales)} scales")
        return self

    def ids_per_image(self, num_latents: int) -> int:
        """Return one id per branch, scale and position."""
        return self.branches * sum(side**2 for side in self.scales)

    def check(self, token_dim: int, num_latents: int) -> None:
        """Reject a grid other than the last scale's, and channels that the branches do not divide."""
        if self.scales[-1] ** 2 != num_latents:
            raise ValueError(
                f"multiscale: {num_latents} latents; the last scale must be the side of their grid, "
                f"got scales {list(self.scales)}"
            )
        if token_dim % self.branches:
            raise ValueError(
                f"multiscale: {self.branches} branches do not divide latents of {token_dim} channels; "
                "change branches or the channels"
            )

    def build(self, token_dim: int, generator: torch.Generator | None = None) -> Multiscale:
        """Build a quantizer of `token_dim` channels, with weights from `generator` (None: seed 0)."""
        return Multiscale(self, token_dim, generator)


class Branch(nn.Module):
    """One codebook, and the convolutions that smooth upsampled codes."""

    def __init__(self, config: MultiscaleConfig, channels: int, generator: torch.Generator) -> None:
        super().__init__()
        self.scales, self.ratio = config.scales, config.smoothing_ratio
        self.embedding = nn.Parameter(torch.empty(config.codebook_size, channels))
        initialize_codes(self.embedding, "unit", generator)
        self.smoothings = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(config.smoothings)
        )
        for parameter in self.smoothings.parameters():
            bound = (9 * channels) ** -0.5  # torch's default
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        self.smoothing_of_scale = smoothing_of_scale(len(config.scales), config.smoothings)

    def forward(self, latents: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return ids `[B, L]` of latents `[B, D, H, H]`, and each scale's contribution, `[B, D, H, H]`."""
        residual, ids, added = latents.detach(), [], []
        codebook = F.normalize(self.embedding.detach(), dim=-1)
        for scale, side in enumerate(self.scales):
            points = rearrange(F.adaptive_avg_pool2d(residual, side), "b d h w -> b (h w) d")
            ids.append(nearest(F.normalize(points, dim=-1), codebook))
            added.append(self.enlarge(ids[-1], scale))
            residual = residual - added[-1].detach()
        return torch.cat(ids, 1), added

    def enlarge(self, ids: Tensor, scale: int) -> Tensor:
        """Return the contribution of a scale, `[B, D, H, H]`, given its ids `[B, p * p]`."""
        side = self.scales[scale]
        codes = rearrange(self.embedding[ids], "b (h w) d -> b d h w", h=side)
        # Computed as matrix products: the gradient of bicubic interpolation is not deterministic on a GPU.
        unit = torch.eye(side, device=codes.device)[None, None]
        rows = F.interpolate(unit, (self.scales[-1], side), mode="bicubic")[0, 0]
        codes = rows @ codes @ rows.t()
        smoothed = self.smoothings[self.smoothing_of_scale[scale]](codes)
        return (1 - self.ratio) * codes + self.ratio * smoothed

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the sum over all scales: int64 `[B, L]` to `[B, D, H, H]`."""
        by_scale = ids.split([side**2 for side in self.scales], 1)
        return torch.stack([self.enlarge(part, scale) for scale, part in enumerate(by_scale)]).sum(0)


class Multiscale(nn.Module):
    """Parallel branches. Ids are ordered by branch, then by scale, then by position in raster order."""

    def __init__(
        self, config: MultiscaleConfig, token_dim: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        generator = generator or torch.Generator().manual_seed(0)
        channels = token_dim // config.branches
        self.branches = nn.ModuleList(Branch(config, channels, generator) for _ in range(config.branches))

    @property
    def codebook_size(self) -> int:
        """Number of codes of each branch."""
        return self.config.codebook_size

    def forward(
        self, latents: Tensor, generator: torch.Generator | None = None, world: World = SINGLE
    ) -> Quantized:
        """Quantize latents `[B, N, Dq]`; in training mode, drop scales at random.

        Losses are means over images that keep a scale, and over branches. The codebook loss, which trains
        codes and convolutions, is averaged over scales; the commitment loss is summed, as the authors do.

        Raises:
            ValueError: dropout in training mode needs a generator.
        """
        with torch.autocast(latents.device.type, enabled=False), without_tf32(latents.device):
            weights = self._weights(len(latents), generator, world).to(latents.device)
            ids, sums, codebook_losses, commitment_losses = [], [], [], []
            for branch, part in zip(self.branches, self._split(latents.float()), strict=True):
                branch_ids, added = branch(part)
                total, errors, commitments = torch.zeros_like(part), [], []
                for weight, addition in zip(weights, added, strict=True):
                    total = total + (weight > 0) * addition
                    errors.append((weight * (total - part.detach()).square()).mean())
                    commitments.append((weight * (total.detach() - part).square()).mean())
                ids.append(branch_ids)
                sums.append(straight_through(part, total))
                codebook_losses.append(torch.stack(errors).mean())
                commitment_losses.append(torch.stack(commitments).sum())
            codebook_loss = torch.stack(codebook_losses).mean()
            commitment_loss = self.config.commitment_cost * torch.stack(commitment_losses).mean()
            loss = commitment_loss + codebook_loss
            return Quantized(torch.cat(ids, 1), _join(sums), loss, commitment_loss, codebook_loss)

    @torch.no_grad()
    def assign(self, latents: Tensor) -> Tensor:
        """Return the ids of latents over all scales: `[B, N, Dq]` to int64 `[B, K]`."""
        with torch.autocast(latents.device.type, enabled=False), without_tf32(latents.device):
            parts = zip(self.branches, self._split(latents.float()), strict=True)
            return torch.cat([branch(part)[0] for branch, part in parts], 1)

    def lookup(self, ids: Tensor) -> Tensor:
        """Return the quantized latents of ids: int64 `[B, K]` to float32 `[B, N, Dq]`."""
        with torch.autocast(ids.device.type, enabled=False), without_tf32(ids.device):
            parts = zip(self.branches, ids.chunk(len(self.branches), 1), strict=True)
            return _join([cast(Branch, branch).lookup(part) for branch, part in parts])

    def _split(self, latents: Tensor) -> tuple[Tensor, ...]:
        grid = rearrange(latents, "b (h w) d -> b d h w", h=self.config.scales[-1])
        return grid.chunk(len(self.branches), 1)

    def _weights(self, batch: int, generator: torch.Generator | None, world: World) -> Tensor:
        """Weights of errors, `[S, B, 1, 1, 1]`, with mean 1 at each scale; 0 if an image drops the scale."""
        config, whole = self.config, world.size * batch
        scales = torch.full((whole,), len(config.scales))
        if self.training and config.dropout:
            if generator is None:
                raise ValueError("multi-scale quantization draws the scales to keep, so it needs a generator")
            # Draw for every image of all processes, though only the first images use it.
            bounds = (config.fewest_scales, len(config.scales) + 1)
            drawn = torch.randint(*bounds, (whole,), generator=generator, device=generator.device)
            shortened = int(whole * config.dropout)
            scales[:shortened] = drawn[:shortened].cpu()
        kept = (torch.arange(len(config.scales)) < scales.unsqueeze(1)).float()
        weights = world.share(kept / kept.mean(0).clamp_min(1 / whole))
        return rearrange(weights, "b s -> s b 1 1 1")


def _join(grids: list[Tensor]) -> Tensor:
    return rearrange(torch.cat(grids, 1), "b d h w -> b (h w) d")


def smoothing_of_scale(scales: int, smoothings: int) -> tuple[int, ...]:
    """Assign each scale its nearest convolution, both spread over [0, 1]; ties go to the later one."""
    margin = Fraction(1, 3 * smoothings)
    step = (1 - 2 * margin) / max(smoothings - 1, 1)
    positions = (Fraction(scale, max(scales - 1, 1)) for scale in range(scales))
    return tuple(
        min(range(smoothings), key=lambda number: (abs(margin + number * step - position), -number))
        for position in positions
    )
