"""Discriminators: shapes, spectral norm, local batch norm, and what is trained of them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.models.discriminator import Discriminator, LocalBatchNorm, SpectralNorm
from sftok.models.efficientnet_lite0 import (
    ProjectedDiscriminator,
    ProjectedDiscriminatorConfig,
    efficientnet_lite0,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dino(seed: int = 0) -> DinoDiscriminator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = VisionTransformer(img_size=16, patch_size=4, embed_dim=12, depth=3, num_heads=2, num_classes=0)
    return DinoDiscriminator(DinoDiscriminatorConfig(depths=(0, 2), kernel_size=3), vit, generator(seed))


efficientnet = functools.cache(efficientnet_lite0)


def projected(seed: int = 0, resolution: int = 32) -> ProjectedDiscriminator:
    config = ProjectedDiscriminatorConfig(resolution=resolution, channels=8)
    return ProjectedDiscriminator(config, efficientnet(), generator(seed))


BOTH = pytest.mark.parametrize("build", [dino, projected])


def test_one_logit_a_patch_and_level_of_dino() -> None:
    logits = dino()(torch.rand(2, 3, 28, 28), generator())
    assert logits.shape == (2, 3 * 16)


@pytest.mark.parametrize(("resolution", "positions"), [(32, 4 * 1), (48, 3 * 1 + 4), (64, 4 * 4)])
def test_all_levels_of_a_projected_discriminator_end_equally_small(resolution: int, positions: int) -> None:
    logits = projected(resolution=resolution)(torch.rand(2, 3, 28, 28), generator())
    assert logits.shape == (2, positions)


@BOTH
def test_the_network_is_no_part_of_the_checkpoint(build: Callable[..., Discriminator]) -> None:
    discriminator = build()
    assert not any("features" in name or "network" in name for name in discriminator.state_dict())
    assert sum(tensor.numel() for tensor in discriminator.state_dict().values()) < 50_000


@BOTH
def test_gradients_reach_the_images_and_the_trained_parameters_alone(
    build: Callable[..., Discriminator],
) -> None:
    discriminator = build()
    images = torch.rand(3, 3, 28, 28, generator=generator(), requires_grad=True)
    discriminator(images, generator()).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    for name, parameter in discriminator.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    network = discriminator.features.network.module
    assert all(parameter.grad is None for parameter in network.parameters())


@BOTH
def test_first_weights_come_from_the_generator(build: Callable[..., Discriminator]) -> None:
    first, same, other = build(3).state_dict(), build(3).state_dict(), build(4).state_dict()
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@BOTH
def test_a_checkpoint_restores_it_bit_for_bit(build: Callable[..., Discriminator]) -> None:
    discriminator, images = build(), torch.rand(2, 3, 28, 28, generator=generator())
    discriminator(images, generator())
    other = build(1)
    other.load_state_dict(discriminator.state_dict())
    assert torch.equal(discriminator(images, generator()), other(images, generator()))


def test_projections_are_fixed_and_the_heads_are_not() -> None:
    trained = {name.split(".")[0] for name, each in projected().named_parameters() if each.requires_grad}
    fixed = {name.split(".")[0] for name, each in projected().named_parameters() if not each.requires_grad}
    assert (trained, fixed) == ({"heads"}, {"channel_mixing", "scale_mixing"})


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    weight = torch.randn(6, 4, 3, generator=generator())
    norm = SpectralNorm(weight, generator(1))
    for _ in range(50):
        scaled = norm(weight)
    assert torch.linalg.matrix_norm(scaled.flatten(1), 2).item() == pytest.approx(1, abs=1e-4)


def test_spectral_norm_moves_in_training_only() -> None:
    weight = torch.randn(6, 4, generator=generator())
    norm = SpectralNorm(torch.randn(6, 4, generator=generator(2)), generator(1)).eval()
    before = norm.left.clone()
    norm(weight)
    assert torch.equal(norm.left, before)
    norm.train()(weight)
    assert not torch.equal(norm.left, before)


def test_two_passes_before_one_backward_pass() -> None:
    discriminator = dino()
    images = torch.rand(2, 3, 16, 16)
    (discriminator(images, generator()).mean() - discriminator(images / 2, generator()).mean()).backward()
    gradients = [weight.grad for weight in discriminator.parameters() if weight.requires_grad]
    assert gradients
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(("batch", "groups"), [(8, 1), (16, 2), (12, 2), (9, 1), (1, 1)])
def test_images_are_normalised_in_groups(batch: int, groups: int) -> None:
    hidden = torch.randn(batch, 3, 5, 2, generator=generator()) * 4 + 1
    normalised = LocalBatchNorm(3, group=8)(hidden)
    for part in normalised.chunk(groups):
        torch.testing.assert_close(part.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
        torch.testing.assert_close(part.var((0, 2, 3), correction=0), torch.ones(3), rtol=1e-4, atol=0)


def test_local_batch_norm_is_torchs_within_a_group() -> None:
    hidden = torch.randn(8, 3, 7, generator=generator())
    norm, reference = LocalBatchNorm(3, group=8), nn.BatchNorm1d(3, eps=1e-6)
    for each in (norm, reference):
        each.weight.data.copy_(torch.tensor([1.0, 2.0, 3.0]))
        each.bias.data.copy_(torch.tensor([0.0, -1.0, 1.0]))
    torch.testing.assert_close(norm(hidden), reference(hidden), rtol=1e-4, atol=1e-5)
