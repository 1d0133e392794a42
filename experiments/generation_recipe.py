"""The part of a recipe that is about generation: the generator's training, and how it is measured.

The paper says "as MaskGIT" (Sections 3.3, 4.3) and gives no value but the 8 steps; the defaults are the
release's (see DEVIATIONS.md).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.models.generator import GeneratorConfig
from sftok.training.loop import TrainingConfig
from sftok.training.optimisation import OptimisationConfig
from sftok.training.stages.generator import GeneratorLossConfig


class GeneratorRecipe(Config):
    """MaskGIT's transformer and its training; ids and classes give the rest of its shape."""

    width: int = Field(default=768, ge=1)
    depth: int = Field(default=24, ge=1)
    heads: int = Field(default=16, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    loss: GeneratorLossConfig = GeneratorLossConfig()
    steps: int = Field(default=1_000_000, ge=1)
    training: TrainingConfig = TrainingConfig(
        batch_size=2048,
        optimisation=OptimisationConfig(learning_rate=2e-4, beta2=0.96, weight_decay=0.03),
    )

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        GeneratorConfig(num_classes=1, **self.shape(num_tokens=1, vocabulary=2))
        return self

    def shape(self, num_tokens: int, vocabulary: int) -> dict[str, Any]:
        """What a `GeneratorConfig` is built from, but for the number of classes, which the data knows."""
        own = self.model_dump(include={"width", "depth", "heads", "mlp_ratio", "dropout"})
        return {"num_tokens": num_tokens, "vocabulary": vocabulary, **own}


class GenerationRecipe(Config):
    """How images are generated and measured; feature spaces, precision and seed are the evaluation's."""

    steps: int = Field(default=8, ge=1)
    """Of the generator."""
    mask_schedule: str = "arccos"
    decoding_steps: int = Field(default=8, ge=1)
    """Of the tokenizer's decoder; a single-step tokenizer takes one, and the teacher has none."""
    extra_metrics: tuple[Literal["kid", "precision_recall"], ...] = ("precision_recall",)
    grid: GuidanceGrid = GuidanceGrid()
    """Among which guidance and temperature are chosen, the same for all rows."""
    choice_split: Literal["validation", "train"] = "train"
    """The images that the choice is made on; the test images are no choice."""
    choice_images: int = Field(default=10_000, ge=2)
    """Samples at each point of the grid."""
    example_classes: int = Field(default=10, ge=1)
    examples_per_class: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        GenerationConfig(steps=self.steps, mask_schedule=self.mask_schedule)
        return self
