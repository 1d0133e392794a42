"""The in-domain classifier, trained on the data that it measures; its weight file must be named."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sftok.evaluation.classifier import Classifier, load_classifier
from sftok.evaluation.extractors.base import GPU_CHUNK, EvaluationError, Extractor, ExtractorConfig, reading
from sftok.io.weights import content_hash


class ClassifierExtractorConfig(ExtractorConfig, name="classifier"):
    """Features and logits of a classifier of the data's own classes."""

    in_domain = True

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """The feature space.

        Raises:
            EvaluationError: `weights` is not given, or not a classifier's file.
        """
        if weights is None:
            raise EvaluationError("classifier: name the safetensors file of a trained classifier")
        with reading(self.label, weights, "train the classifier first"):
            classifier = load_classifier(weights).requires_grad_(False)
        # Of the tensors: safetensors orders a header as it likes, and the files of equal classifiers differ.
        weights_hash = content_hash(classifier.state_dict())
        device = torch.device(device)
        chunk = GPU_CHUNK if device.type != "cpu" else 250
        network = ClassifierFeatures(classifier).to(device).eval()
        return Extractor(self.label, weights_hash, network, chunk, device)


class ClassifierFeatures(nn.Module):
    """A classifier on uint8 images of its own size."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 images `[B, 3, H, W]` to pooled features and logits.

        Raises:
            EvaluationError: the classifier was trained on images of another size.
        """
        side = self.network.config.image_size
        if pixels.shape[-2:] != (side, side):
            raise EvaluationError(
                f"classifier: trained on {side}x{side} images, got {pixels.shape[-2]}x{pixels.shape[-1]}; "
                "train one at the size of the data"
            )
        pooled = self.network.features(pixels.float() / 255)
        return pooled, self.network.head(pooled)
