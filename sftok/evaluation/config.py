"""The settings of an evaluation: decoding steps, metrics and feature spaces, as data.

Importing this module loads no networks, so planning and the command line stay fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.schedule import DecodingConfig, MaskSchedule
from sftok.evaluation.extractors.base import ExtractorConfig
from sftok.evaluation.extractors.inception_v3 import InceptionV3Config
from sftok.metrics.base import EvaluationError, MetricConfig, Need, describe
from sftok.metrics.code_accuracy import CodeAccuracyConfig
from sftok.metrics.codebook_use import CodebookUseConfig
from sftok.metrics.fid import GFIDConfig, RFIDConfig
from sftok.metrics.inception_score import InceptionScoreConfig
from sftok.metrics.precision_recall import PrecisionRecallConfig
from sftok.metrics.psnr import PSNRConfig
from sftok.metrics.ssim import SSIMConfig

__all__ = ["EvaluationConfig", "EvaluationError", "ExtractorConfig", "GenerationEvaluationConfig"]

Precision = Literal["fp32", "bf16"]


class MeasuredConfig(Config):
    """Settings shared by the evaluations of reconstructions and of generated images."""

    extractors: tuple[ExtractorConfig, ...] = (InceptionV3Config(),)
    """Feature spaces of the metrics that compare features."""
    metrics: tuple[MetricConfig, ...] = ()
    batch_size: int = Field(default=250, ge=1)
    """Images processed together; with noise, the draws depend on it."""
    precision: Precision = "fp32"
    """Precision of the passes that predict codes or tokens, of a 1D tokenizer's decoder or a generator.

    Everything else is always fp32, decoders that return pixels included.
    """
    seed: int = Field(default=0, ge=0)

    provides: ClassVar[frozenset[Need]]
    """The inputs that are available to metrics."""
    lacks: ClassVar[str]
    """The end of the error message about a metric that needs any other input."""

    @model_validator(mode="after")
    def _can_measure_each_once(self) -> Self:
        refuse_repeats("extractors", [extractor.label for extractor in self.extractors])
        refuse_repeats("metrics", [quantity.name for each in self.metrics for quantity in each.quantities])
        for metric in self.metrics:
            if missing := metric.needs - self.provides:
                needed = ", ".join(sorted(missing))
                raise ValueError(f"metrics: {metric.reference} needs {needed}, {self.lacks}")
        return self

    @property
    def described(self) -> dict[str, dict[str, Any]]:
        """Return the quantities of the metrics by name; see `sftok.metrics.base.describe`."""
        return describe(self.metrics)


class EvaluationConfig(MeasuredConfig):
    """How a tokenizer is evaluated; the defaults are the paper's protocol and the release's temperature."""

    steps: tuple[int, ...] = Field(default=(1, 2, 4, 8, 16), min_length=1)
    """Numbers of decoding steps T, each evaluated separately."""
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Temperature of the Gumbel noise in decoding, annealed linearly to 0."""
    schedule: MaskSchedule = "arccos"
    final_lookup: Literal["hard", "soft"] = "hard"
    metrics: tuple[MetricConfig, ...] = (
        RFIDConfig(),
        InceptionScoreConfig(),
        PSNRConfig(),
        SSIMConfig(),
        CodeAccuracyConfig(),
        CodebookUseConfig(),
    )

    provides = frozenset(
        {"images", "originals", "ids", "codes", "bits", "features", "logits", "labels", "reference_features"}
    )
    lacks = "which reconstructions do not have"

    @model_validator(mode="after")
    def _decodes_each_once(self) -> Self:
        refuse_repeats("steps", self.steps)
        for steps in self.steps:
            self.decoding(steps)
        return self

    def decoding(self, steps: int) -> DecodingConfig:
        """Return the decoding with `steps` steps."""
        return DecodingConfig(
            steps=steps,
            temperature=self.temperature,
            schedule=self.schedule,
            final_lookup=self.final_lookup,
        )


class GenerationEvaluationConfig(MeasuredConfig):
    """How a generator is evaluated; the defaults are the usual protocol on ImageNet, 50,000 samples."""

    generation: GenerationConfig = GenerationConfig()
    num_images: int = Field(default=50_000, ge=2)
    """Number of samples, the same for every class."""
    metrics: tuple[MetricConfig, ...] = (GFIDConfig(), InceptionScoreConfig(), PrecisionRecallConfig())
    example_classes: int = Field(default=10, ge=1)
    """Number of classes whose samples are kept as images, spread evenly over all."""
    examples_per_class: int = Field(default=8, ge=1)
    choice: str = "fixed beforehand"
    """How guidance and temperature were chosen; part of the protocol."""

    provides = frozenset({"images", "features", "logits", "reference_features", "reference_set"})
    lacks = "which generated images do not have"


def refuse_repeats(what: str, values: Sequence[object]) -> None:
    """Raise ValueError if `values` has duplicates."""
    if len(set(values)) != len(values):
        raise ValueError(f"{what} has duplicates: {list(values)}")
