"""A self-supervised in-domain network: VICReg (arXiv 2105.04906) on the training images, without labels.

Its notion of similarity comes from views of the same image, not from class labels.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from sftok.evaluation.extractors.base import Shape, TrainedConfig
from sftok.models.classifier import convolutions


class VICRegConfig(TrainedConfig, name="vicreg"):
    """Features of a network trained to distinguish images, not classes; it has no logits."""

    objective = "views"

    channels: tuple[int, ...] = Field(default=(16, 32, 64, 128), min_length=1)
    """Channels per resolution, each half the previous one; the last is the length of the features."""

    def network(self, shape: Shape) -> SelfSupervised:
        """Build an untrained network."""
        return SelfSupervised(self.channels)


class SelfSupervised(nn.Module):
    """Maps images to features, with the same layers as the in-domain classifier."""

    head = None

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.width = channels[-1]
        self.body = convolutions(channels)
        self.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Map images `[B, 3, H, W]` in [0, 1] to pooled features `[B, channels[-1]]`."""
        return self.body(images.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features, for training."""
        return self.features(images)
