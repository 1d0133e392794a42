"""Measures how evenly token ids use their codebook."""

from __future__ import annotations

from typing import Self

import torch

from sftok.metrics.base import Measured, Metric, MetricConfig, Setup
from sftok.metrics.quantity import Quantity


class CodebookUseConfig(MetricConfig, name="codebook_use"):
    """Usage, entropy and perplexity of the codebook."""

    quantities = (
        Quantity(
            name="codebook_usage",
            label="Codebook usage",
            direction=1,
            meaning="share of the codebook that occurs at all",
        ),
        Quantity(
            name="codebook_entropy",
            label="Codebook entropy",
            unit="bits",
            meaning="how evenly the codebook is used",
        ),
        Quantity(
            name="codebook_perplexity",
            label="Codebook perplexity",
            meaning="codes of an evenly used codebook with the same entropy",
        ),
    )
    needs = frozenset({"ids"})

    def build(self, setup: Setup) -> CodebookUse:
        """Build the metric."""
        if setup.codebook_size is None:
            raise ValueError("codebook_use needs the size of the codebook")
        return CodebookUse(setup.codebook_size)


class CodebookUse(Metric):
    """Counts of every id of a codebook of `codebook_size`."""

    reads_pixels = False

    def __init__(self, codebook_size: int) -> None:
        self.codebook_size = codebook_size
        super().__init__()

    def reset(self) -> None:
        """Discard everything seen so far."""
        self.counts = torch.zeros(self.codebook_size, dtype=torch.int64)

    def update(self, batch: Measured) -> None:
        """Count the ids of a batch."""
        assert batch.ids is not None
        self.counts += torch.bincount(batch.ids.flatten().cpu(), minlength=len(self.counts))

    def merge(self, other: Self) -> None:
        """Add the counts of `other`."""
        self.counts += other.counts

    def compute(self) -> dict[str, float]:
        """Return `codebook_usage` (share of ids that occur), `codebook_entropy` in bits, and perplexity."""
        if not self.counts.any():
            raise ValueError("codebook_usage: nothing was seen")
        shares = self.counts[self.counts > 0].double() / self.counts.sum()
        entropy = -(shares * shares.log2()).sum().item()
        return {
            "codebook_usage": len(shares) / len(self.counts),
            "codebook_entropy": entropy,
            "codebook_perplexity": 2**entropy,
        }
