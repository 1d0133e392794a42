"""Features of Vision Transformers: which tokens, in which order, and which files are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import draw
from timm.models.vision_transformer import VisionTransformer

from sftok.features.base import FeaturesConfig
from sftok.features.vit import ViTFeatures
from sftok.io.published import PretrainedError

COLORS = (0.5, 0.5, 0.5)


def vit(num_classes: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VisionTransformer(
            img_size=16, patch_size=8, embed_dim=12, depth=1, num_heads=2, num_classes=num_classes
        )


@pytest.mark.parametrize("projected", [0, 5])
def test_the_class_token_is_pooled_and_the_others_are_patches(projected: int) -> None:
    network, images = vit(projected), draw(2, 3, 16, 16).sigmoid()
    features = ViTFeatures(network, COLORS, COLORS)
    tokens = network.head(network.forward_features((images - 0.5) / 0.5))
    torch.testing.assert_close(features.pooled(images), tokens[:, 0])
    torch.testing.assert_close(features.patches(images), tokens[:, 1:])
    assert features.dim == (projected or 12)


def test_images_of_another_size_are_resized() -> None:
    assert ViTFeatures(vit(), COLORS, COLORS).patches(draw(1, 3, 40, 40)).shape == (1, 4, 12)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("dinov2", "dinov2_vitb14_pretrain.pth"),
        ("clip", "vit_large_patch14_clip_224.openai.safetensors"),
    ],
)
def test_missing_weights_are_named_with_their_place_and_source(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(PretrainedError, match=rf"no weights at {tmp_path}.*{file}; fetch https://.* and put"):
        FeaturesConfig.member_of(name).check_weights()
