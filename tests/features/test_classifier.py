"""Features of the in-domain classifier: which map, and that they are those of its own evaluation."""

from __future__ import annotations

import pytest
import torch
from small_models import draw

from sftok.config import ConfigError
from sftok.features.base import FeaturesConfig
from sftok.features.classifier import ClassifierFeatures
from sftok.models.classifier import Classifier, ClassifierConfig


def classifier() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(ClassifierConfig(image_size=28, num_classes=3, channels=(4, 6, 8))).eval()


def test_pooled_features_are_those_of_the_feature_space() -> None:
    network, images = classifier(), draw(2, 3, 28, 28).sigmoid()
    features = ClassifierFeatures(network)
    torch.testing.assert_close(features.pooled(images), network.features(images))
    assert features.dim == 8


@pytest.mark.parametrize(("level", "patches", "dim"), [(1, 14 * 14, 4), (2, 7 * 7, 6), (None, 4 * 4, 8)])
def test_a_level_is_a_map_of_patches(level: int | None, patches: int, dim: int) -> None:
    features = ClassifierFeatures(classifier(), level)
    assert features.patches(draw(2, 3, 28, 28)).shape == (2, patches, dim)
    assert features.dim == dim


def test_a_level_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="no level 4; it halves images 3 times"):
        ClassifierFeatures(classifier(), 4)


def test_without_a_file_there_are_no_features() -> None:
    with pytest.raises(ConfigError, match="name the safetensors file"):
        FeaturesConfig.member_of("classifier").build()
