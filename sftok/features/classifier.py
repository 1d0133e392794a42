"""Features of the in-domain classifier, for data that published networks were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from einops import rearrange
from pydantic import Field
from torch import Tensor

from sftok.config import ConfigError
from sftok.features.base import Features, FeaturesConfig
from sftok.frozen import Frozen
from sftok.models.classifier import Classifier, load_classifier


class ClassifierFeaturesConfig(FeaturesConfig, name="classifier"):
    """Selects the classifier of the data's own classes.

    Attributes:
        level: the level whose feature map is used, after this many halvings of the image; None means the
            last.
    """

    in_domain = True

    level: int | None = Field(default=None, ge=1)

    def channels(self, classifier: Sequence[int]) -> int:
        """Return the channels of the level, given the classifier's channels, one number per level.

        Raises:
            ConfigError: the classifier has no such level.
        """
        level = self.level or len(classifier)
        if level > len(classifier):
            raise ConfigError(f"classifier: no level {level}; it halves images {len(classifier)} times")
        return classifier[level - 1]

    def build(self, weights: Path | None = None) -> ClassifierFeatures:
        """Build the features.

        Raises:
            ConfigError: `weights` is missing or is not a classifier's file, or the level does not exist.
        """
        if weights is None:
            raise ConfigError("classifier: name the safetensors file of a trained classifier")
        return ClassifierFeatures(load_classifier(weights), self.level)


class ClassifierFeatures(Features):
    """The feature map of one level of a classifier; its positions are the patches."""

    def __init__(self, classifier: Classifier, level: int | None = None) -> None:
        channels = classifier.config.channels
        self.dim = ClassifierFeaturesConfig(level=level).channels(channels)
        layers_per_level = len(classifier.body) // len(channels)
        self.network = Frozen(classifier.body[: layers_per_level * (level or len(channels))])

    def pooled(self, images: Tensor) -> Tensor:
        """Return the mean over positions, `[B, F]`."""
        return self.patches(images).mean(1)

    def patches(self, images: Tensor) -> Tensor:
        """Return one feature per position, `[B, n, F]`."""
        return rearrange(self.network(images), "b c h w -> b (h w) c")
