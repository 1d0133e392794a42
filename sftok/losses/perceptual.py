"""The family of perceptual losses of stage 3: distances of images in a frozen network's features."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sftok.components import Component
from sftok.frozen import Frozen


class PerceptualLoss(ABC):
    """A distance of two batches of images, differentiable with respect to the first.

    Attributes:
        network: the frozen network that compares, if any; results record the hash of its weights.
    """

    network: Frozen | None = None

    @abstractmethod
    def __call__(self, reconstructions: Tensor, images: Tensor) -> Tensor:
        """Return the scalar distance, averaged over the batch, of images `[B, 3, H, W]` in [0, 1]."""


class PerceptualConfig(Component, family="perceptual_loss", package="sftok.losses"):
    """Selects the perceptual loss; the paper's is `lpips-vgg` (Table 6)."""

    def sketch(self, image_size: int) -> tuple[nn.Module, Tensor] | None:
        """Return its frozen network, if any, without weights, and one input for it, to count operations.

        Both are on the meta device. `image_size` is the side of the images in pixels.
        """
        return None

    @abstractmethod
    def build(self) -> PerceptualLoss:
        """Build the loss, with the published weights of its network.

        Raises:
            PretrainedError: the weights are missing or damaged.
        """
