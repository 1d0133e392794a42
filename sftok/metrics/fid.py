"""FID by torch-fidelity: for reconstructions against their originals (rFID), and for samples against real
images (gFID). Statistics are computed in float64.
"""

from __future__ import annotations

from torch import Tensor

from sftok.metrics.accumulators import OfFeatures
from sftok.metrics.base import MetricConfig, Reference, Setup
from sftok.metrics.linear_algebra import moments, reproducible
from sftok.metrics.quantity import Quantity


class RFIDConfig(MetricConfig, name="rfid"):
    """FID of reconstructions."""

    quantities = (
        Quantity(
            name="rfid",
            label="rFID",
            direction=-1,
            meaning="Fréchet distance between features of originals and reconstructions",
        ),
    )
    needs = frozenset({"features", "originals"})

    def build(self, setup: Setup) -> FrechetDistance:
        """Build the metric."""
        return FrechetDistance(setup.require_reference(), "rfid")


class GFIDConfig(MetricConfig, name="gfid"):
    """FID of samples."""

    quantities = (
        Quantity(
            name="gfid",
            label="gFID",
            direction=-1,
            meaning="Fréchet distance between features of real and generated images",
        ),
    )
    needs = frozenset({"features", "reference_set"})

    def build(self, setup: Setup) -> FrechetDistance:
        """Build the metric."""
        return FrechetDistance(setup.require_reference(), "gfid")


class FrechetDistance(OfFeatures):
    """Fréchet distance between normal distributions fitted to features of images and of the reference."""

    def __init__(self, reference: Reference, name: str) -> None:
        super().__init__(reference)
        self.name = name

    @reproducible
    def compute(self) -> dict[str, float]:
        """Return the distance."""
        return {self.name: frechet_distance(self.features, self.reference)}


@reproducible
def frechet_distance(features: Tensor, reference: Reference) -> float:
    """Return the FID of features `[N, F]` against the reference."""
    # Imported here because torch-fidelity takes time to load, and planning does not need it.
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    mean, covariance = moments(features)
    of_reference = {"mu": reference.mean.numpy(), "sigma": reference.covariance.numpy()}
    statistics = {"mu": mean.numpy(), "sigma": covariance.numpy()}
    return fid_statistics_to_metric(statistics, of_reference, verbose=False)[KEY_METRIC_FID]
