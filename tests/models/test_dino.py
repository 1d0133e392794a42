"""DINO's features are timm's, and images of any size are brought to the input of the ViT."""

from __future__ import annotations

import pytest
import torch
from small_models import seeded
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.models.dino import DinoFeatures


@pytest.fixture
def vit() -> VisionTransformer:
    """A tiny ViT with random weights takes the place of DINO's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = VisionTransformer(
            img_size=16, patch_size=4, embed_dim=12, depth=4, num_heads=2, num_classes=0
        )
        nn.init.normal_(network.cls_token)
    return network.eval()


def test_maps_are_timms(vit: VisionTransformer) -> None:
    features = DinoFeatures(vit, depths=(0, 2))
    images = torch.rand(3, 3, 16, 16, generator=seeded())
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = vit.forward_intermediates(
        (images - mean.view(3, 1, 1)) / deviation.view(3, 1, 1),
        indices=[0, 2],
        return_prefix_tokens=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    maps = features(images, seeded())
    assert [tuple(each.shape) for each in maps] == [(3, 12, 16)] * 3
    assert features.channels == [12, 12, 12]
    for each, (patches, prefix) in zip(maps[1:], expected, strict=True):
        torch.testing.assert_close(each, (patches + prefix[:, :1]).transpose(1, 2))


@pytest.mark.parametrize("side", [8, 16, 20])
def test_images_of_any_size_are_brought_to_the_input_of_the_vit(vit: VisionTransformer, side: int) -> None:
    maps = DinoFeatures(vit, depths=(1,))(torch.rand(2, 3, side, side), seeded())
    assert [tuple(each.shape) for each in maps] == [(2, 12, 16)] * 2


def test_large_images_are_seen_whole_or_in_part_as_drawn(vit: VisionTransformer) -> None:
    images = torch.rand(1, 3, 24, 24, generator=seeded())
    features = DinoFeatures(vit, depths=(1,))
    views = [features(images, seeded(seed))[0] for seed in range(8)]
    assert len({view.sum().item() for view in views}) > 2
    assert torch.equal(views[3], features(images, seeded(3))[0])
