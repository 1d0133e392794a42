"""The in-domain classifier, whose features and logits serve as a feature space for rFID and IS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.recipe import Recipe
from sftok.data.augmentation import AugmentationConfig
from sftok.training.loop import TrainingConfig


class Classifier(Artifact, kind="classifier"):
    """A trained classifier of the data's own classes."""

    image_size: int
    channels: tuple[int, ...]
    label_smoothing: float
    training: TrainingConfig
    steps: int
    seed: int
    augmentation: AugmentationConfig = AugmentationConfig()

    @classmethod
    def plan(cls, recipe: Recipe, data: Mapping[str, str], further_seeds: int = 0) -> Classifier:
        """The classifier of a recipe, with `further_seeds` added to its seed."""
        own = dict(recipe.classifier) | {"seed": recipe.classifier.seed + further_seeds}
        seen = {"image_size": recipe.data.image_size, "augmentation": recipe.views}
        label = "in-domain classifier" + (f", seed {own['seed']}" if further_seeds else "")
        return cls.planned(recipe, data, label, **seen, **own)

    def make(self, context: Context) -> dict[str, Any]:
        """Train the classifier on the class labels."""
        from experiments.artifacts.training import train_model
        from sftok.models.classifier import Classifier as Network
        from sftok.models.classifier import ClassifierConfig
        from sftok.randomness import seeded_initialization
        from sftok.training.stages.classifier import ClassifierStage

        images = context.load_data("train")
        config = ClassifierConfig(
            image_size=self.image_size, num_classes=images.num_classes, channels=self.channels
        )
        with seeded_initialization(self.seed):
            network = Network(config)
        stage = ClassifierStage(network, self.label_smoothing)
        return train_model(context, self, stage, network, config, images)
