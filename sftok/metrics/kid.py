"""KID by torch-fidelity. It draws subsets, so its value depends on the order of the images."""

from __future__ import annotations

from pydantic import Field

from sftok.metrics.accumulators import OfFeatures
from sftok.metrics.base import MetricConfig, Reference, Setup
from sftok.metrics.linear_algebra import reproducible
from sftok.metrics.quantity import Quantity


class KIDConfig(MetricConfig, name="kid"):
    """Kernel inception distance."""

    subset_size: int = Field(default=1000, ge=2)
    """Number of images in a subset; fewer if there are not enough."""

    quantities = (
        Quantity(
            name="kid",
            label="KID",
            direction=-1,
            meaning="kernel distance between the features that FID compares",
        ),
    )
    needs = frozenset({"features", "reference_features"})

    def build(self, setup: Setup) -> KernelDistance:
        """Build the metric."""
        return KernelDistance(setup.require_reference(), self.subset_size)


class KernelDistance(OfFeatures):
    """Mean squared maximum mean discrepancy of subsets of `subset_size` images."""

    def __init__(self, reference: Reference, subset_size: int = 1000) -> None:
        super().__init__(reference)
        self.subset_size = subset_size

    @reproducible
    def compute(self) -> dict[str, float]:
        """Return `kid`."""
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

        features, reference = self.features, self.reference.features
        size = min(self.subset_size, len(features), len(reference))
        found = kid_features_to_metric(features, reference, kid_subset_size=size, verbose=False)
        return {"kid": found[KEY_METRIC_KID_MEAN]}
