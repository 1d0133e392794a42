"""Density and coverage of distributions (Naeem et al., arXiv 2002.09797)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from sftok.metrics.accumulators import OfFeatures
from sftok.metrics.base import MetricConfig, Reference, Setup
from sftok.metrics.linear_algebra import reproducible
from sftok.metrics.quantity import Quantity

_ROWS_AT_ONCE = 1000


class DensityCoverageConfig(MetricConfig, name="density_coverage"):
    """Density and coverage; unlike precision, one outlier among the real images cannot raise them."""

    neighbors: int = Field(default=5, ge=1)
    """Number of nearest real images that define the neighborhood of a real image (Section 3.2)."""
    images: int | None = Field(default=None, ge=2)
    """Maximum number of images of each set; if set, the first ones are used and their order matters."""

    quantities = (
        Quantity(
            name="density",
            label="Density",
            direction=1,
            meaning="neighborhoods of real images that an image lies in, against what is expected",
        ),
        Quantity(
            name="coverage",
            label="Coverage",
            direction=1,
            meaning="share of real images in whose neighborhood an image lies",
        ),
    )
    needs = frozenset({"features", "reference_features"})

    def build(self, setup: Setup) -> DensityCoverage:
        """Build the metric."""
        return DensityCoverage(setup.require_reference(), self.neighbors, self.images)


class DensityCoverage(OfFeatures):
    """Density and coverage against the reference.

    Args:
        reference: the real images, more than `neighbors` of them.
        neighbors: number of neighbors that define a neighborhood.
        images: maximum number of images of each set.
    """

    def __init__(self, reference: Reference, neighbors: int = 5, images: int | None = None) -> None:
        super().__init__(reference)
        self.neighbors, self.most_images = neighbors, images

    @reproducible
    def compute(self) -> dict[str, float]:
        """Return `density`, which is 1 if images lie as densely as real ones, and `coverage` in [0, 1]."""
        real = self.reference.features[: self.most_images]
        images = self.features[: self.most_images]
        hits, covered = 0, 0
        for rows in real.split(_ROWS_AT_ONCE):
            # An image is its own nearest neighbor.
            radii = torch.cdist(rows, real).kthvalue(min(self.neighbors + 1, len(real)), dim=1).values
            inside: Tensor = torch.cdist(rows, images) < radii[:, None]
            hits += int(inside.sum())
            covered += int(inside.any(1).sum())
        return {"density": hits / (self.neighbors * len(images)), "coverage": covered / len(real)}
