"""The inception score by torch-fidelity, over all images at once: one split."""

from __future__ import annotations

from torch import Tensor

from sftok.metrics.accumulators import OfFeatures
from sftok.metrics.base import MetricConfig, Setup
from sftok.metrics.linear_algebra import reproducible
from sftok.metrics.quantity import Quantity


class InceptionScoreConfig(MetricConfig, name="is"):
    """Inception score, in feature spaces with class predictions."""

    quantities = (
        Quantity(
            name="is",
            label="IS",
            direction=1,
            meaning="Inception score: recognizable images of all classes score high",
        ),
    )
    needs = frozenset({"logits"})

    def build(self, setup: Setup) -> InceptionScore:
        """Build the metric."""
        return InceptionScore(setup.require_reference())


class InceptionScore(OfFeatures):
    """Inception score of the images."""

    @reproducible
    def compute(self) -> dict[str, float]:
        """Return `is`."""
        return {"is": inception_score(self.logits)}


def inception_score(logits: Tensor) -> float:
    """exp of the mean divergence of the class predictions from their mean, over all of `logits` `[N, C]`."""
    # Imported here because torch-fidelity takes time to load, and planning does not need it.
    from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric

    return isc_features_to_metric(logits, splits=1, shuffle=False)[KEY_METRIC_ISC_MEAN]
