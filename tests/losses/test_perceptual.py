"""Perceptual losses: zero for equal images, differentiable, and never changed by training."""

from __future__ import annotations

import pytest
import torch
from small_models import draw, seeded
from torch import nn

from sftok.frozen import Frozen
from sftok.losses.efficientnet_lite0 import EfficientNetLoss
from sftok.losses.lpips import LpipsLoss
from sftok.models.efficientnet_lite0 import EfficientNetFeatures, efficientnet_lite0

IMAGES = torch.rand(3, 3, 28, 28, generator=seeded())


@pytest.fixture(scope="module")
def distance() -> EfficientNetLoss:
    return EfficientNetLoss(EfficientNetFeatures(efficientnet_lite0(), 32))


def test_a_larger_change_is_farther(distance):
    noise = draw(*IMAGES.shape, seed=1)
    none, near, far = (distance(IMAGES + scale * noise, IMAGES).item() for scale in (0, 0.02, 0.5))
    assert 0 == none < near < far < 4


def test_it_is_the_mean_squared_distance_of_directions(distance):
    pairs = zip(distance.features(IMAGES), distance.features(IMAGES.flip(0)), strict=True)
    cosines = torch.stack([nn.functional.cosine_similarity(*pair).mean() for pair in pairs])
    found = distance(IMAGES.flip(0), IMAGES)
    torch.testing.assert_close(found, 2 - 2 * cosines.mean(), rtol=1e-4, atol=1e-5)


def test_the_gradient_goes_to_the_reconstructions_alone(distance):
    images, reconstructions = IMAGES.clone().requires_grad_(), (IMAGES * 0.9).requires_grad_()
    distance(reconstructions, images).backward()
    assert reconstructions.grad.abs().sum() > 0
    assert torch.isfinite(reconstructions.grad).all()
    assert images.grad is None
    assert not any(each.requires_grad for each in distance.network.module.parameters())


def test_features_are_float32_under_autocast(distance):
    expected = distance(IMAGES * 0.9, IMAGES)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distance(IMAGES * 0.9, IMAGES), expected)


class Faint:
    """Features near zero, whose directions change with the slightest change of an image."""

    network = Frozen(nn.Identity())

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [1e-9 * (images - 0.4)]


def test_the_direction_of_features_near_zero_has_no_exploding_gradient():
    images = torch.full((1, 3, 2, 2), 0.5, requires_grad=True)
    EfficientNetLoss(Faint())(images, torch.zeros(1, 3, 2, 2)).backward()
    assert 0 < images.grad.abs().max() < 1


class Difference(nn.Module):
    """Takes the place of the `lpips` package's network: distances of images in [0, 1]."""

    def forward(self, left: torch.Tensor, right: torch.Tensor, normalize: bool) -> torch.Tensor:
        assert normalize
        assert left.dtype == right.dtype == torch.float32
        return (left - right).abs().mean((1, 2, 3), keepdim=True)


def test_lpips_is_averaged_over_the_batch():
    shift = torch.tensor([0.1, 0.2, 0.6]).view(3, 1, 1, 1)
    assert LpipsLoss(Difference())(IMAGES + shift, IMAGES).item() == pytest.approx(0.3, abs=1e-6)


def test_images_too_small_for_lpips_are_refused():
    message = r"needs 32 pixels a side, these images have 28; choose efficientnet"
    with pytest.raises(ValueError, match=message):
        LpipsLoss(Difference(), smallest=32)(IMAGES, IMAGES)
