"""Perceptual losses of stage 3: LPIPS (Table 6), and a distance in the embedded EfficientNet's features.

Both compare unit-normalised features of a frozen network, always in float32 and in evaluation mode.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sftok.config import Config
from sftok.frozen import Frozen
from sftok.models.features import EfficientNetFeatures

_NORM_FLOOR = 1e-6
"""Of feature vectors: near zero the gradient of their direction would explode."""


class PerceptualConfig(Config):
    """Which distance. The paper's is `lpips-vgg`; `efficientnet-lite0` needs no file but its package's."""

    name: Literal["lpips-vgg", "lpips-alex", "efficientnet-lite0"] = "lpips-vgg"
    resolution: int = Field(default=64, ge=32)
    """Side in pixels of what EfficientNet sees; LPIPS takes images as they are."""


class LpipsLoss:
    """LPIPS (Zhang et al., 2018), averaged over a batch.

    Args:
        network: `lpips_network(...)`; kept frozen.
        smallest: the least side in pixels that its poolings allow.
    """

    def __init__(self, network: nn.Module, smallest: int = 16) -> None:
        self.network = Frozen(network)
        self.smallest = smallest

    def __call__(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Scalar distance of two batches `[B, 3, H, W]` in [0, 1].

        Raises:
            ValueError: the images are too small for the network.
        """
        if min(images.shape[-2:]) < self.smallest:
            raise ValueError(
                f"LPIPS needs {self.smallest} pixels a side, these have {min(images.shape[-2:])}; "
                "choose efficientnet-lite0, which resizes"
            )
        with torch.autocast(images.device.type, enabled=False):
            distances: Tensor = self.network(reconstructions.float(), images.float(), normalize=True)
        return distances.mean()


class EfficientNetLoss:
    """LPIPS without its learned weights, in EfficientNet-Lite0's features.

    At each position of a map the squared distance of the unit-normalised feature vectors, from 0 to 4;
    averaged over positions, maps and images.

    Args:
        features: the maps to compare.
    """

    def __init__(self, features: EfficientNetFeatures) -> None:
        self.features = features

    @property
    def network(self) -> Frozen:
        """The network whose features are compared."""
        return self.features.network

    def __call__(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Scalar distance of two batches `[B, 3, H, W]` in [0, 1]; no gradient goes to `images`."""
        with torch.autocast(images.device.type, enabled=False):
            with torch.no_grad():
                targets = [
                    F.normalize(each, dim=1, eps=_NORM_FLOOR) for each in self.features(images.float())
                ]
            maps = [
                F.normalize(each, dim=1, eps=_NORM_FLOOR) for each in self.features(reconstructions.float())
            ]
            distances = [
                (left - right).square().sum(1).mean() for left, right in zip(maps, targets, strict=True)
            ]
            return torch.stack(distances).mean()


PerceptualLoss = LpipsLoss | EfficientNetLoss
