"""LPIPS with AlexNet, as the release measures it; its ImageNet weights must be in torch's hub cache."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sftok.io.weights import content_hash
from sftok.losses.lpips import lpips_network
from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import EvaluationError, Measured, MetricConfig, Setup
from sftok.metrics.quantity import Quantity

_SMALLEST = 32


class LPIPSConfig(MetricConfig, name="lpips"):
    """Learned perceptual distance."""

    quantities = (
        Quantity(name="lpips", label="LPIPS", direction=-1, meaning="perceptual distance to the original"),
    )
    needs = frozenset({"images", "originals"})

    def build(self, setup: Setup) -> LPIPS:
        """Build the metric, with its network on the device.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """
        return LPIPS(lpips_network("alex").to(setup.device))

    def check_weights(self) -> None:
        """Load AlexNet's weights.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """
        lpips_network("alex")


class LPIPS(MeanOverImages):
    """Learned perceptual distance to the original, averaged over images; 0 for identical ones.

    Args:
        network: `lpips_network("alex")`.
    """

    name = "lpips"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def per_image(self, batch: Measured) -> Tensor:
        """Return the distance of each image, `[B]`.

        Raises:
            EvaluationError: the images are too small for the network.
        """
        assert batch.images is not None
        side = min(batch.images.shape[-2:])
        if side < _SMALLEST:
            raise EvaluationError(
                f"lpips: AlexNet needs {_SMALLEST} pixels a side, these have {side}; leave it out"
            )
        return self.network(batch.images, batch.originals, normalize=True).flatten()

    @property
    def weights(self) -> Mapping[str, str]:
        """Return the SHA-256 of the network's weights."""
        return {self.name: content_hash(self.network.state_dict())}
