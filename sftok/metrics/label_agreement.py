"""Whether a classifier predicts the same class for a reconstruction as for its original."""

from __future__ import annotations

from torch import Tensor

from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import EvaluationError, Measured, MetricConfig, Setup
from sftok.metrics.quantity import Quantity


class LabelAgreementConfig(MetricConfig, name="label_agreement"):
    """Share of images whose likeliest class is that of the original, correct or not."""

    quantities = (
        Quantity(
            name="label_agreement",
            label="Label agreement",
            direction=1,
            meaning="share of reconstructions in which a classifier sees the class of the original",
        ),
    )
    needs = frozenset({"logits", "labels"})

    def build(self, setup: Setup) -> LabelAgreement:
        """Build the metric."""
        return LabelAgreement(setup.require_reference().extractor)


class LabelAgreement(MeanOverImages):
    """Share of equal classes, in one feature space with logits."""

    name = "label_agreement"

    def __init__(self, extractor: str) -> None:
        super().__init__()
        self.extractor = extractor

    def per_image(self, batch: Measured) -> Tensor:
        """Return 1 for each image of the same class and 0 otherwise, `[B]`.

        Raises:
            EvaluationError: the feature space has no logits.
        """
        logits = batch.features[self.extractor].logits
        if logits is None:
            raise EvaluationError(f"{self.name}: {self.extractor} has no logits")
        return (logits.argmax(1) == batch.labels[self.extractor]).float()
