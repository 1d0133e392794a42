"""Perceptual losses: zero for equal images, differentiable, and never changed by training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sftok.frozen import Frozen
from sftok.losses.efficientnet_lite0 import EfficientNetLoss
from sftok.losses.lpips import LpipsLoss
from sftok.models.efficientnet_lite0 import EfficientNetFeatures, efficientnet_lite0


@pytest.fixture(scope="module")
def distance() -> EfficientNetLoss:
    return EfficientNetLoss(EfficientNetFeatures(efficientnet_lite0(), 32))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 28, 28, generator=torch.Generator().manual_seed(0))


def test_a_larger_change_is_farther(distance: EfficientNetLoss, images: torch.Tensor) -> None:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    none, near, far = (distance(images + scale * noise, images).item() for scale in (0, 0.02, 0.5))
    assert 0 == none < near < far < 4


def test_it_is_the_mean_squared_distance_of_directions(
    distance: EfficientNetLoss, images: torch.Tensor
) -> None:
    other = images.flip(0)
    cosines = [
        nn.functional.cosine_similarity(left, right).mean()
        for left, right in zip(distance.features(images), distance.features(other), strict=True)
    ]
    expected = 2 - 2 * torch.stack(cosines).mean()
    torch.testing.assert_close(distance(other, images), expected, rtol=1e-4, atol=1e-5)


def test_the_gradient_goes_to_the_reconstructions_alone(
    distance: EfficientNetLoss, images: torch.Tensor
) -> None:
    images.requires_grad_(True)
    reconstructions = (images.detach() * 0.9).requires_grad_(True)
    distance(reconstructions, images).backward()
    assert reconstructions.grad.abs().sum() > 0
    assert torch.isfinite(reconstructions.grad).all()
    assert images.grad is None
    assert not any(each.requires_grad for each in distance.network.module.parameters())


def test_features_are_float32_under_autocast(distance: EfficientNetLoss, images: torch.Tensor) -> None:
    expected = distance(images * 0.9, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distance(images * 0.9, images), expected)


class Faint:
    """Features near zero, whose directions change with the slightest change of an image."""

    network = Frozen(nn.Identity())

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [1e-9 * (images - 0.4)]


def test_the_direction_of_features_near_zero_has_no_exploding_gradient() -> None:
    images = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    EfficientNetLoss(Faint())(images, torch.zeros(1, 3, 2, 2)).backward()
    assert 0 < images.grad.abs().max() < 1


class Difference(nn.Module):
    """Takes the place of the `lpips` package's network: distances of images in [0, 1]."""

    def forward(self, left: torch.Tensor, right: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        assert left.dtype == right.dtype == torch.float32
        return (left - right).abs().mean((1, 2, 3), keepdim=True)


def test_lpips_is_averaged_over_the_batch(images: torch.Tensor) -> None:
    shift = torch.tensor([0.1, 0.2, 0.6]).view(3, 1, 1, 1)
    assert LpipsLoss(Difference())(images + shift, images).item() == pytest.approx(0.3, abs=1e-6)


def test_images_too_small_for_lpips_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"needs 32 pixels a side, these images have 28; choose efficientnet"
    ):
        LpipsLoss(Difference(), smallest=32)(images, images)
