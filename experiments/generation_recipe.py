"""The part of a recipe that is about generation: the generator's training, and how it is measured.

The paper says "as MaskGIT" (Sections 3.3, 4.3) and gives no value but the 8 steps; the defaults are the
release's (see docs/deviations.md).
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.guidance_grid import GuidanceGrid
from sftok.evaluation.config import GenerationEvaluationConfig
from sftok.metrics.base import MetricConfig
from sftok.models.generator import GeneratorConfig, MaskGITConfig
from sftok.training.loop import TrainingConfig
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.generator import GeneratorLossConfig


class GeneratorRecipe(Config):
    """The generator and its training; ids and classes give the rest of its shape."""

    model: GeneratorConfig = MaskGITConfig(dropout=0.1)
    loss: GeneratorLossConfig = GeneratorLossConfig()
    steps: int = Field(default=1_000_000, ge=1)
    training: TrainingConfig = TrainingConfig(
        batch_size=2048, optimizer=OptimizerConfig(learning_rate=2e-4, beta2=0.96, weight_decay=0.03)
    )


class GenerationRecipe(Config):
    """How images are generated and measured; feature spaces, precision and seed are the evaluation's."""

    steps: int = Field(default=8, ge=1)
    """Of the generator."""
    mask_schedule: str = "arccos"
    decoding_steps: int = Field(default=8, ge=1)
    """Of the tokenizer's decoder; a single-step tokenizer takes one, and the teacher has none."""
    metrics: tuple[MetricConfig, ...] = GenerationEvaluationConfig().metrics
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
