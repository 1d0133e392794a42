"""A tokenizer's ids of the training images, which a generator learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.codes import write_ids
from experiments.artifacts.context import Context
from experiments.artifacts.stage import TrainStage, load_tokenizer
from experiments.recipe import Recipe
from sftok.data.augmentation import AugmentationConfig


class Tokens(Artifact, kind="tokens"):
    """The ids of every training image, seen as its center crop."""

    tokenizer: TrainStage

    @classmethod
    def plan(
        cls, recipe: Recipe, tokenizer: TrainStage, fingerprints: Mapping[str, str], label: str
    ) -> Tokens:
        """The ids of a trained tokenizer."""
        return cls(
            label=f"tokens of {label}",
            device=recipe.device,
            tf32=recipe.tf32,
            data={"train": fingerprints["train"]},
            tokenizer=tokenizer,
        )

    def make(self, context: Context) -> dict[str, Any]:
        """Encode the training images with the frozen tokenizer."""
        tokenizer = load_tokenizer(context, self.tokenizer)
        return write_ids(context, self, tokenizer, AugmentationConfig())
