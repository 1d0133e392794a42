"""Feature maps of EfficientNet-Lite0, as timm and the evaluation compute them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sftok.models.efficientnet_lite0 import EfficientNetFeatures, efficientnet_lite0

IMAGES = torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return efficientnet_lite0()


def test_shapes_of_the_maps(network: nn.Module) -> None:
    features = EfficientNetFeatures(network, 64)
    shapes = [tuple(each.shape) for each in features(IMAGES)]
    assert shapes == [(2, 16, 32, 32), (2, 24, 16, 16), (2, 40, 8, 8), (2, 112, 4, 4), (2, 320, 2, 2)]
    assert features.channels == [shape[1] for shape in shapes]


def test_chosen_levels_are_the_same_maps(network: nn.Module) -> None:
    every = EfficientNetFeatures(network, 32)(IMAGES)
    chosen = EfficientNetFeatures(network, 32, levels=(1, 3))(IMAGES)
    assert [torch.equal(*pair) for pair in zip(chosen, (every[1], every[3]), strict=True)] == [True, True]


def test_the_last_map_is_what_evaluation_pools(network: nn.Module) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    head = nn.Sequential(network.conv_head, network.bn2, network.global_pool)
    expected = network.global_pool(network.forward_features(images * 2 - 1))
    pooled = head(EfficientNetFeatures(network, 32)(images)[-1])
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-4)
