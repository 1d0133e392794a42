"""Training a network without labels by VICReg (Bardes et al., arXiv 2105.04906)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sftok.evaluation.extractors.vicreg import SelfSupervised
from sftok.training.stages.base import Losses, Stage, Step

INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
"""Weights of the three terms (Section 4.2)."""

SMALLEST_VIEW = 0.6
"""Side of the smallest crop of a view, as a share of the image's."""

CONTRAST = 0.2
"""Brightness and contrast of a view change by up to this share.

Views are neither blurred nor noisy: the network is meant to judge reconstructions, and must not learn to
ignore their defects.
"""


class VICRegStage(Stage):
    """Pulls the embeddings of two views of an image together, and spreads those of a batch in all directions.

    Args:
        network: maps images to features `[B, width]`; it is the result of training.
    """

    def __init__(self, network: SelfSupervised) -> None:
        super().__init__()
        self.trained, width = network, network.width
        self.expander = nn.Sequential(
            nn.Linear(width, 2 * width), nn.BatchNorm1d(2 * width), nn.ReLU(), nn.Linear(2 * width, 2 * width)
        )

    def optimizers(self) -> Mapping[str, Iterable[tuple[str, nn.Parameter]]]:
        """Return one optimizer for the network and the expander, which is dropped after training."""
        return {"model": self.named_parameters()}

    def losses(self, optimizer: str, step: Step) -> Losses:
        """Return the loss (Equation 6) and its invariance term."""
        images = step.batch.images
        both = torch.cat([view(images, step.uniform((len(images), 6)).to(images.device)) for _ in range(2)])
        first, second = self.expander(self.trained(both)).float().chunk(2)
        invariance = F.mse_loss(first, second)
        spread = sum(_spread(each) for each in (first, second))
        return {"loss": INVARIANCE * invariance + spread, "invariance": invariance}


def view(images: Tensor, draws: Tensor) -> Tensor:
    """Draw a random view of each image: cropped, resized back, mirrored, with new brightness and contrast.

    Args:
        images: `[B, 3, H, W]` in [0, 1].
        draws: `[B, 6]` in [0, 1), which determine the view.
    """
    scale, across, down, mirror, contrast, brightness = draws.unbind(1)
    side = SMALLEST_VIEW + (1 - SMALLEST_VIEW) * scale
    flip = torch.where(mirror < 0.5, -1.0, 1.0)
    zero = torch.zeros_like(side)
    places = [(2 * place - 1) * (1 - side) for place in (across, down)]
    crop = torch.stack([side * flip, zero, places[0], zero, side, places[1]], 1).view(-1, 2, 3)
    grid = F.affine_grid(crop, list(images.shape), align_corners=False)
    shown = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    gain, shift = (1 + CONTRAST * (2 * draw - 1)[:, None, None, None] for draw in (contrast, brightness))
    mean = shown.mean(dim=(1, 2, 3), keepdim=True)
    return ((shown - mean) * gain + mean * shift).clamp(0, 1)


def _spread(embeddings: Tensor) -> Tensor:
    """Return the variance and covariance terms of `[B, D]` (Equations 1 and 3)."""
    centered = embeddings - embeddings.mean(0)
    covariance = centered.T @ centered / (len(embeddings) - 1)
    deviation = (covariance.diagonal() + 1e-4).sqrt()
    off_diagonal = covariance.square().sum() - covariance.diagonal().square().sum()
    return VARIANCE * F.relu(1 - deviation).mean() + COVARIANCE * off_diagonal / embeddings.shape[1]
