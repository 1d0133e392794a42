"""CMMD (Jayasumana et al., 2024): a distance between sets of features that assumes no distribution.

The paper reports it in CLIP's features; the distance itself works in any feature space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from sftok.metrics.accumulators import OfFeatures
from sftok.metrics.base import MetricConfig, Reference, Setup
from sftok.metrics.linear_algebra import reproducible
from sftok.metrics.quantity import Quantity

_SCALE = 1000
"""Factor of the published numbers."""

_ROWS_AT_ONCE = 1000


class CMMDConfig(MetricConfig, name="cmmd"):
    """Squared maximum mean discrepancy under a Gaussian kernel."""

    bandwidth: float = Field(default=10.0, gt=0)
    """The kernel's standard deviation; the default is the paper's, for features of unit length."""

    quantities = (
        Quantity(
            name="cmmd",
            label="CMMD",
            direction=-1,
            meaning="kernel distance between all features, whatever their distribution",
        ),
    )
    needs = frozenset({"features", "reference_features"})

    def build(self, setup: Setup) -> CMMD:
        """Build the metric."""
        return CMMD(setup.require_reference(), self.bandwidth)


class CMMD(OfFeatures):
    """The biased estimate over all pairs (Section 4), for features scaled to unit length, times 1000."""

    def __init__(self, reference: Reference, bandwidth: float = 10.0) -> None:
        super().__init__(reference)
        self.bandwidth = bandwidth

    @reproducible
    def compute(self) -> dict[str, float]:
        """Return `cmmd`."""
        images, reference = (
            F.normalize(each.double(), dim=1) for each in (self.features, self.reference.features)
        )
        within = self._similarity(images, images) + self._similarity(reference, reference)
        return {"cmmd": _SCALE * (within - 2 * self._similarity(images, reference))}

    def _similarity(self, left: Tensor, right: Tensor) -> float:
        """Return the mean of the kernel over all pairs of `[N, F]` and `[M, F]`."""
        total = 0.0
        for rows in left.split(_ROWS_AT_ONCE):
            squared = torch.cdist(rows, right).square()
            total += torch.exp(-squared / (2 * self.bandwidth**2)).sum().item()
        return total / (len(left) * len(right))
