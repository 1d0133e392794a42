"""Training the in-domain classifier: the feature space of rFID and IS if Inception weights are missing."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from sftok.models.classifier import Classifier
from sftok.training.stages.base import Losses, Stage, Step


class ClassifierStage(Stage):
    """Cross-entropy on the class labels."""

    def __init__(self, classifier: Classifier, label_smoothing: float = 0.0):
        super().__init__()
        self.trained = classifier
        self.label_smoothing = label_smoothing

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return cross-entropy and accuracy."""
        logits = self.trained(step.batch.images).float()
        with torch.no_grad():
            accuracy = (logits.argmax(-1) == step.batch.labels).float().mean()
        loss = F.cross_entropy(logits, step.batch.labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": accuracy}
