"""LPIPS with AlexNet, as the release measures it; its ImageNet weights must be at hand."""

from __future__ import annotations

import torch
from torch import Tensor

from sftok.evaluation.config import EvaluationError
from sftok.evaluation.metrics import MeanOverImages, Reconstructions

_SMALLEST = 32


class LPIPS(MeanOverImages):
    """Learned perceptual distance to the original, averaged over images; 0 for identical ones."""

    name = "lpips"

    def __init__(self, network: torch.nn.Module) -> None:
        """`network` is `sftok.losses.lpips.lpips_network("alex")`."""
        super().__init__()
        self.network = network

    @torch.no_grad()
    def per_image(self, batch: Reconstructions) -> Tensor:
        """The distance of each image, `[B]`."""
        side = min(batch.images.shape[-2:])
        if side < _SMALLEST:
            raise EvaluationError(
                f"lpips: AlexNet needs {_SMALLEST} pixels a side, these have {side}; leave it out"
            )
        return self.network(batch.images, batch.originals, normalize=True).flatten()
