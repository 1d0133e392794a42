"""The in-domain classifier, trained on the data that it measures; its weight file must be given."""

from __future__ import annotations

from pathlib import Path

import torch

from sftok.evaluation.extractors.base import (
    EvaluationError,
    Extractor,
    ExtractorConfig,
    on_pixels,
    reading,
)
from sftok.models.classifier import load_classifier


class ClassifierExtractorConfig(ExtractorConfig, name="classifier"):
    """Features and logits of a classifier of the data's own classes."""

    in_domain = True

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """Build the feature space.

        Raises:
            EvaluationError: `weights` is not given, or not a classifier's file.
        """
        if weights is None:
            raise EvaluationError("classifier: name the safetensors file of a trained classifier")
        with reading(self.label, weights, "train the classifier first"):
            classifier = load_classifier(weights)
        return on_pixels(self.label, classifier, classifier.config.image_size, torch.device(device))
