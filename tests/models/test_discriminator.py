"""Discriminators: shapes, spectral norm, local batch norm, and which of their weights are trained."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from small_models import seeded
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.models.discriminator import Discriminator, LocalBatchNorm, SpectralNorm
from sftok.models.efficientnet_lite0 import (
    ProjectedDiscriminator,
    ProjectedDiscriminatorConfig,
    efficientnet_lite0,
)


def dino(seed: int = 0) -> DinoDiscriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=3, num_heads=2, num_classes=0)
    return DinoDiscriminator(DinoDiscriminatorConfig(depths=(0, 2), kernel_size=3), vit, seeded(seed))


efficientnet = functools.cache(efficientnet_lite0)


def projected(seed: int = 0, resolution: int = 32) -> ProjectedDiscriminator:
    config = ProjectedDiscriminatorConfig(resolution=resolution, channels=8)
    return ProjectedDiscriminator(config, efficientnet(), seeded(seed))


BOTH = pytest.mark.parametrize("build", [dino, projected])


@pytest.mark.parametrize(
    ("discriminator", "positions"),
    [
        (dino, 3 * 16),
        (projected, 4 * 1),
        (functools.partial(projected, resolution=48), 3 * 1 + 4),
        (functools.partial(projected, resolution=64), 4 * 4),
    ],
)
def test_every_position_of_every_level_has_a_logit(
    discriminator: Callable[..., Discriminator], positions: int
) -> None:
    assert discriminator()(torch.rand(2, 3, 28, 28), seeded()).shape == (2, positions)


@BOTH
def test_the_network_is_not_part_of_the_checkpoint(build: Callable[..., Discriminator]) -> None:
    discriminator = build().train()
    assert not any("features" in name or "network" in name for name in discriminator.state_dict())
    assert sum(tensor.numel() for tensor in discriminator.state_dict().values()) < 50_000
    assert discriminator.network is not None
    assert not discriminator.network.module.training


@BOTH
def test_gradients_reach_only_the_images_and_the_trained_parameters(
    build: Callable[..., Discriminator],
) -> None:
    discriminator = build()
    images = torch.rand(3, 3, 28, 28, generator=seeded(), requires_grad=True)
    discriminator(images, seeded()).square().sum().backward()
    assert images.grad.abs().sum() > 0
    for name, parameter in discriminator.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    assert all(parameter.grad is None for parameter in discriminator.network.module.parameters())


@BOTH
def test_initial_weights_come_from_the_generator_and_a_checkpoint_restores_them(
    build: Callable[..., Discriminator],
) -> None:
    first, same, other = build(3), build(3), build(4)
    states = [each.state_dict() for each in (first, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not all(torch.equal(states[0][name], states[2][name]) for name in states[0])
    images = torch.rand(2, 3, 28, 28, generator=seeded())
    first(images, seeded())
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(images, seeded()), other(images, seeded()))


def test_projections_are_fixed_and_heads_are_not() -> None:
    trained: dict[bool, set[str]] = {True: set(), False: set()}
    for name, parameter in projected().named_parameters():
        trained[parameter.requires_grad].add(name.split(".")[0])
    assert trained == {True: {"heads"}, False: {"channel_mixing", "scale_mixing"}}


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    weight = torch.randn(6, 4, 3, generator=seeded())
    norm = SpectralNorm(weight, seeded(1))
    for _ in range(50):
        scaled = norm(weight)
    assert torch.linalg.matrix_norm(scaled.flatten(1), 2).item() == pytest.approx(1, abs=1e-4)


def test_spectral_norm_changes_its_estimate_only_in_training() -> None:
    weight = torch.randn(6, 4, generator=seeded())
    norm = SpectralNorm(torch.randn(6, 4, generator=seeded(2)), seeded(1)).eval()
    before = norm.left.clone()
    norm(weight)
    assert torch.equal(norm.left, before)
    norm.train()(weight)
    assert not torch.equal(norm.left, before)


def test_two_passes_before_one_backward_pass() -> None:
    discriminator = dino()
    images = torch.rand(2, 3, 16, 16)
    (discriminator(images, seeded()).mean() - discriminator(images / 2, seeded()).mean()).backward()
    gradients = [weight.grad for weight in discriminator.parameters() if weight.requires_grad]
    assert gradients
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(("batch", "groups"), [(8, 1), (16, 2), (12, 2), (9, 1), (1, 1)])
def test_images_are_normalized_in_groups_as_batch_norm_does(batch: int, groups: int) -> None:
    hidden = torch.randn(batch, 3, 5, 2, generator=seeded()) * 4 + 1
    norm, reference = LocalBatchNorm(3, group=8), nn.BatchNorm2d(3, eps=1e-6)
    for each in (norm, reference):
        each.weight.data.copy_(torch.tensor([1.0, 2.0, 3.0]))
        each.bias.data.copy_(torch.tensor([0.0, -1.0, 1.0]))
    expected = torch.cat([reference(part) for part in hidden.chunk(groups)])
    torch.testing.assert_close(norm(hidden), expected, rtol=1e-4, atol=1e-5)
