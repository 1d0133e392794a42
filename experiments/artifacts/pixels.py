"""A tokenizer trained on pixels in one stage: the systems of Table 1 that have no teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.artifacts.context import Context
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from experiments.specs import Row
from sftok.config import ConfigError
from sftok.data.augmentation import AugmentationConfig
from sftok.tokenizers.pixel import PixelTokenizerConfig
from sftok.training.loop import TrainingConfig

if TYPE_CHECKING:
    from sftok.tokenizers.pixel import PixelTokenizer


class TrainPixels(TokenizerArtifact, kind="pixels", parallel=True):
    """A trained `PixelTokenizer`."""

    subject: ClassVar[str] = "pixels"

    model: PixelTokenizerConfig
    training: TrainingConfig
    steps: int
    seed: int
    augmentation: AugmentationConfig = AugmentationConfig()

    @classmethod
    def plan(cls, row: Row, recipe: Recipe, seed: int, data: Mapping[str, str]) -> TrainPixels:
        """The tokenizer of a row at one seed.

        Raises:
            ConfigError: the parts do not fit, or the row asks for a share of the ids.
        """
        if recipe.evaluation.kept_share < 1:
            raise ConfigError(
                f"{row.name}: a tokenizer trained on pixels is decoded from all of its ids; leave "
                "evaluation.kept_share at 1"
            )
        return cls.planned(
            recipe,
            data,
            f"{row.name}, seed {seed}",
            model=recipe.pixel_tokenizer_config(),
            training=recipe.pixels.training,
            steps=recipe.pixels.steps,
            seed=seed,
            augmentation=recipe.views,
        )

    @property
    def num_tokens(self) -> int:
        """Ids of an image, K."""
        return self.model.num_tokens

    @property
    def vocabulary(self) -> int:
        """The number of different ids."""
        return self.model.codebook_size

    def open(self, context: Context, kept_tokens: int | None = None) -> PixelTokenizer:
        """The finished tokenizer, frozen; it is always decoded from all ids."""
        from sftok.tokenizers.pixel import PixelTokenizer

        return PixelTokenizer.from_pretrained(context.folder_of(self)).requires_grad_(False)

    def make(self, context: Context) -> dict[str, Any]:
        """Train encoder, quantizer and decoder together."""
        from experiments.artifacts.training import train_model
        from sftok.randomness import generator
        from sftok.tokenizers.pixel import PixelTokenizer
        from sftok.training.stages.pixels import PixelStage

        network = PixelTokenizer(self.model, generator(self.seed, "initialisation"))
        images = context.load_data("train")
        return train_model(context, self, PixelStage(network), network, network.record, images)
