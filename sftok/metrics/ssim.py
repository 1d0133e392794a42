"""SSIM of the luma, averaged over images (Wang et al. 2004).

Gaussian windows of 11 pixels and deviation 1.5 lie entirely inside the image, as in the release; torchmetrics
1.9 also averages windows over reflected borders.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import Measured, MetricConfig, Setup
from sftok.metrics.luma import luma
from sftok.metrics.quantity import Quantity

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


class SSIMConfig(MetricConfig, name="ssim"):
    """Structural similarity."""

    quantities = (
        Quantity(name="ssim", label="SSIM", direction=1, meaning="structural similarity to the original"),
    )
    needs = frozenset({"images", "originals"})

    def build(self, setup: Setup) -> SSIM:
        """Build the metric."""
        return SSIM()


class SSIM(MeanOverImages):
    """Structural similarity of the luma, averaged over images."""

    name = "ssim"

    def per_image(self, batch: Measured) -> Tensor:
        """Return the similarity of each image, `[B]`.

        Raises:
            ValueError: the images are smaller than a window.
        """
        assert batch.images is not None
        assert batch.originals is not None
        if min(batch.images.shape[-2:]) < _WINDOW:
            raise ValueError(f"ssim needs images of at least {_WINDOW} pixels a side")
        image, original = luma(batch.images), luma(batch.originals)
        # In float64: these are differences of nearly equal means, which TF32 products on a GPU would swamp.
        image, original = image.double(), original.double()
        moments = torch.stack([image, original, image**2, original**2, image * original])
        rows, columns = (_window_means(side, moments) for side in image.shape[-2:])
        # As products with band matrices, the two passes of the filter are forty times as fast as
        # convolutions.
        mean, mean_original, square, square_original, product = rows @ moments @ columns.T
        variances = square - mean**2 + square_original - mean_original**2
        covariance = product - mean * mean_original
        similarity = (2 * mean * mean_original + _C1) * (2 * covariance + _C2)
        similarity /= (mean**2 + mean_original**2 + _C1) * (variances + _C2)
        return similarity.mean(dim=(1, 2))


def _window_means(side: int, like: Tensor) -> Tensor:
    """Return the matrix `[side - 10, side]` that takes Gaussian-weighted means of 11 neighbors."""
    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    matrix = torch.zeros(side - _WINDOW + 1, side, dtype=torch.float64)
    for row, values in enumerate(matrix):
        values[row : row + _WINDOW] = weights
    return matrix.to(like)
