"""Precision and recall of distributions by torch-fidelity (arXiv 1904.06991)."""

from __future__ import annotations

from pydantic import Field

from sftok.metrics.accumulators import OfFeatures
from sftok.metrics.base import MetricConfig, Reference, Setup
from sftok.metrics.linear_algebra import reproducible
from sftok.metrics.quantity import Quantity

_PAIRS_AT_ONCE = 2000


class PrecisionRecallConfig(MetricConfig, name="precision_recall"):
    """Precision and recall."""

    images: int | None = Field(default=None, ge=2)
    """Maximum number of images of each set; if set, the first ones are used and their order matters."""

    quantities = (
        Quantity(
            name="precision",
            label="Precision",
            direction=1,
            meaning="share of reconstructed or generated images that lie among real ones",
        ),
        Quantity(
            name="recall",
            label="Recall",
            direction=1,
            meaning="share of real images that lie among reconstructed or generated ones",
        ),
    )
    needs = frozenset({"features", "reference_features"})

    def build(self, setup: Setup) -> PrecisionRecall:
        """Build the metric."""
        return PrecisionRecall(setup.require_reference(), self.images)


class PrecisionRecall(OfFeatures):
    """Precision and recall against the reference, with at most `images` images of each set."""

    def __init__(self, reference: Reference, images: int | None = None) -> None:
        super().__init__(reference)
        self.most_images = images

    @reproducible
    def compute(self) -> dict[str, float]:
        """Return `precision` and `recall` in [0, 1]."""
        from torch_fidelity.metric_prc import prc_features_to_metric

        shares = prc_features_to_metric(
            self.features[: self.most_images],
            self.reference.features[: self.most_images],
            prc_batch_size=_PAIRS_AT_ONCE,
            save_cpu_ram=True,
            verbose=False,
        )
        return {name: shares[name] for name in ("precision", "recall")}
