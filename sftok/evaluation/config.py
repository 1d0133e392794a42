"""What an evaluation is asked to do: the decoding steps, the metrics and the feature spaces, as data.

Importing this module loads no network code, so that planning and the command line stay quick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.schedule import DecodingConfig, MaskSchedule

EFFICIENTNET_RESOLUTIONS = (48, 64, 96, 128, 224)
"""Input sides in pixels at which EfficientNet-Lite0 is registered; each is a feature space of its own."""

ExtraMetric = Literal["kid", "precision_recall", "lpips"]


class EvaluationError(RuntimeError):
    """An evaluation that cannot be done; the message is one line: what, where, and the remedy."""


class ExtractorConfig(Config):
    """A feature space for rFID and IS."""

    name: Literal["efficientnet-lite0", "classifier", "inception-v3-compat"]
    resolution: Literal[48, 64, 96, 128, 224] = 64
    """Input side of `efficientnet-lite0` in pixels; the other networks know their own."""

    @model_validator(mode="after")
    def _only_efficientnet_is_resized(self) -> Self:
        if self.name != "efficientnet-lite0" and self.resolution != 64:
            raise ValueError(f"resolution belongs to efficientnet-lite0; {self.name} has its own")
        return self

    @property
    def label(self) -> str:
        """The name that goes with every number: `efficientnet-lite0@64`, `classifier`, ..."""
        return f"{self.name}@{self.resolution}" if self.name == "efficientnet-lite0" else self.name


class EvaluationConfig(Config):
    """How a tokenizer is evaluated; the defaults are the paper's protocol and the release's temperature."""

    steps: tuple[int, ...] = Field(default=(1, 2, 4, 8, 16), min_length=1)
    """Numbers of decoding steps T, each evaluated on its own."""
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Of the Gumbel noise in decoding, annealed linearly to 0."""
    schedule: MaskSchedule = "arccos"
    final_lookup: Literal["hard", "soft"] = "hard"
    extractors: tuple[ExtractorConfig, ...] = (ExtractorConfig(name="inception-v3-compat"),)
    extra_metrics: tuple[ExtraMetric, ...] = ()
    """Slow metrics beside rfid, is, psnr, ssim and the code metrics."""
    batch_size: int = Field(default=250, ge=1)
    """Images decoded together; with noise, the draws depend on it."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the decoder's passes alone; encoding, pixels and features are always fp32."""
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _asks_for_each_once(self) -> Self:
        _refuse_repeats(
            {
                "steps": self.steps,
                "extractors": [extractor.label for extractor in self.extractors],
                "extra_metrics": self.extra_metrics,
            }
        )
        for steps in self.steps:
            self.decoding(steps)
        return self

    def decoding(self, steps: int) -> DecodingConfig:
        """The decoding at `steps` steps."""
        return DecodingConfig(
            steps=steps,
            temperature=self.temperature,
            schedule=self.schedule,
            final_lookup=self.final_lookup,
        )


class GenerationEvaluationConfig(Config):
    """How a generator is evaluated; the defaults are the usual protocol on ImageNet, 50,000 samples."""

    generation: GenerationConfig = GenerationConfig()
    num_images: int = Field(default=50_000, ge=2)
    """Samples, as many of each class as of any other."""
    extractors: tuple[ExtractorConfig, ...] = (ExtractorConfig(name="inception-v3-compat"),)
    extra_metrics: tuple[Literal["kid", "precision_recall"], ...] = ("precision_recall",)
    """Metrics beside gfid and is."""
    batch_size: int = Field(default=250, ge=1)
    """Images sampled together; with noise, the draws depend on it."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the generator's passes alone; pixels and features are always fp32."""
    seed: int = Field(default=0, ge=0)
    example_classes: int = Field(default=10, ge=1)
    """Classes of which samples are kept as images, spread evenly over all."""
    examples_per_class: int = Field(default=8, ge=1)
    choice: str = "fixed beforehand"
    """How the sampling's guidance and temperature were chosen; part of the protocol."""

    @model_validator(mode="after")
    def _asks_for_each_once(self) -> Self:
        _refuse_repeats(
            {
                "extractors": [extractor.label for extractor in self.extractors],
                "extra_metrics": self.extra_metrics,
            }
        )
        return self


def _refuse_repeats(named: Mapping[str, Sequence[object]]) -> None:
    for what, values in named.items():
        if len(set(values)) != len(values):
            raise ValueError(f"{what} names something twice: {list(values)}")
