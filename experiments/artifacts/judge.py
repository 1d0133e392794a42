"""A network trained on the data as a feature space, in addition to the in-domain classifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import Context
from experiments.recipe import Recipe
from sftok.data.augmentation import AugmentationConfig
from sftok.evaluation.extractors.base import ExtractorConfig, TrainedConfig
from sftok.training.loop import TrainingConfig


class Judge(Artifact, kind="judge"):
    """A trained feature space; its configuration names the training objective."""

    extractor: ExtractorConfig
    image_size: int
    training: TrainingConfig
    steps: int
    seed: int
    augmentation: AugmentationConfig = AugmentationConfig()

    @classmethod
    def plan(cls, extractor: TrainedConfig, recipe: Recipe, data: Mapping[str, str], seed: int) -> Judge:
        """The network of `extractor`, trained with the recipe's settings for judges."""
        fields = dict(recipe.judges) | {"image_size": recipe.data.image_size, "augmentation": recipe.views}
        label = f"{extractor.label}, seed {seed}"
        return cls.planned(recipe, data, label, **fields | {"extractor": extractor, "seed": seed})

    @property
    def network(self) -> ExtractorConfig:
        """The extractor, whose size determines how long a step takes."""
        return self.extractor

    def make(self, context: Context) -> dict[str, Any]:
        """Train the network."""
        from experiments.artifacts.training import train_model
        from sftok.evaluation.extractors.base import Shape
        from sftok.randomness import seeded_initialization
        from sftok.training.stages.classifier import ClassifierStage
        from sftok.training.stages.vicreg import VICRegStage

        assert isinstance(self.extractor, TrainedConfig)
        images = context.load_data("train")
        shape = Shape(image_size=self.image_size, num_classes=images.num_classes)
        stages = {"labels": ClassifierStage, "views": VICRegStage}
        with seeded_initialization(self.seed):
            network = self.extractor.network(shape)
            stage = stages[self.extractor.objective](network)
        return train_model(context, self, stage, network, shape, images)


def trained_spaces(
    extractors: Iterable[ExtractorConfig], recipe: Recipe, data: Mapping[str, str], further_seeds: int = 0
) -> dict[str, Any]:
    """The fields `classifier` and `judges` of an artifact that measures in `extractors`.

    Args:
        extractors: the feature spaces.
        recipe: training settings of the networks.
        data: fingerprints of the splits.
        further_seeds: added to the recipe's seeds.
    """
    in_domain = [extractor for extractor in extractors if extractor.in_domain]
    judges = {
        each.label: Judge.plan(each, recipe, data, recipe.judges.seed + further_seeds)
        for each in in_domain
        if isinstance(each, TrainedConfig)
    }
    others = len(in_domain) > len(judges)
    return {"classifier": Classifier.plan(recipe, data, further_seeds) if others else None, "judges": judges}
