"""Feature pyramids: the maps they say, of frozen networks, as timm computes them."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.models.dino import DinoFeatures
from sftok.models.efficientnet_lite0 import EfficientNetFeatures, efficientnet_lite0


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def efficientnet() -> nn.Module:
    return efficientnet_lite0()


@pytest.fixture
def vit() -> VisionTransformer:
    """A tiny ViT with random weights in the place of DINO's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(
            img_size=16, patch_size=4, embed_dim=12, depth=4, num_heads=2, num_classes=0
        )
        nn.init.normal_(network.cls_token)
    return network.eval()


def test_maps_of_efficientnet(efficientnet: nn.Module) -> None:
    features = EfficientNetFeatures(efficientnet, 64)
    maps = features(torch.rand(2, 3, 28, 28, generator=generator()))
    assert [tuple(each.shape) for each in maps] == [
        (2, 16, 32, 32),
        (2, 24, 16, 16),
        (2, 40, 8, 8),
        (2, 112, 4, 4),
        (2, 320, 2, 2),
    ]
    assert features.channels == [each.shape[1] for each in maps]


def test_chosen_levels_are_the_same_maps(efficientnet: nn.Module) -> None:
    images = torch.rand(2, 3, 28, 28, generator=generator())
    every = EfficientNetFeatures(efficientnet, 32)(images)
    chosen = EfficientNetFeatures(efficientnet, 32, levels=(1, 3))(images)
    assert [torch.equal(*pair) for pair in zip(chosen, (every[1], every[3]), strict=True)] == [True, True]


def test_the_last_map_is_what_evaluation_pools(efficientnet: nn.Module) -> None:
    images = torch.rand(2, 3, 32, 32, generator=generator())
    head = nn.Sequential(efficientnet.conv_head, efficientnet.bn2, efficientnet.global_pool)
    expected = efficientnet.global_pool(efficientnet.forward_features(images * 2 - 1))
    pooled = head(EfficientNetFeatures(efficientnet, 32)(images)[-1])
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-4)


def test_maps_of_a_vit_are_timms(vit: VisionTransformer) -> None:
    features = DinoFeatures(vit, depths=(0, 2))
    images = torch.rand(3, 3, 16, 16, generator=generator())
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    expected = vit.forward_intermediates(
        normalised,
        indices=[0, 2],
        return_prefix_tokens=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    maps = features(images, generator())
    assert [tuple(each.shape) for each in maps] == [(3, 12, 16)] * 3
    assert features.channels == [12, 12, 12]
    for each, (patches, prefix) in zip(maps[1:], expected, strict=True):
        torch.testing.assert_close(each, (patches + prefix[:, :1]).transpose(1, 2))


@pytest.mark.parametrize("side", [8, 16, 20])
def test_any_size_is_brought_to_the_vits_own(vit: VisionTransformer, side: int) -> None:
    maps = DinoFeatures(vit, depths=(1,))(torch.rand(2, 3, side, side), generator())
    assert [tuple(each.shape) for each in maps] == [(2, 12, 16)] * 2


def test_large_images_are_seen_whole_or_in_part_as_drawn(vit: VisionTransformer) -> None:
    images = torch.rand(1, 3, 24, 24, generator=generator())
    features = DinoFeatures(vit, depths=(1,))
    views = [features(images, generator(seed))[0] for seed in range(8)]
    assert len({view.sum().item() for view in views}) > 2
    assert torch.equal(views[3], features(images, generator(3))[0])


def test_networks_stay_frozen(vit: VisionTransformer) -> None:
    features = DinoFeatures(vit.train(), depths=(1,))
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    features(images, generator())[-1].sum().backward()
    assert not vit.training
    assert all(parameter.grad is None for parameter in vit.parameters())
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
