"""Classifier-free guidance of the generator, and its scale at each sampling step (Section 4.3).

Guided logits are `conditional + scale * (conditional - unconditional)`. A schedule maps progress r in [0, 1),
the step over the number of steps, to a share of the full scale: early steps, which determine the composition,
may go without guidance for variety. A scale s of 1d-tokenizer's power-cosine schedule is s - 1 here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from pydantic import Field, field_validator
from torch import Tensor

from sftok.config import Config, ConfigError, choices_hint
from sftok.decoding.schedule import DecodingConfig, MaskSchedule
from sftok.decoding.unmask import Predict

ConditionalLogits = Callable[[Tensor, Tensor], Tensor]
"""Maps ids `[B, K]` and labels `[B]` to logits `[B, K, V]`."""

GUIDANCE_SCHEDULES: Mapping[str, Callable[[float, float], float]] = {
    "constant": lambda progress, power: 1.0,
    "linear": lambda progress, power: progress,
    "power-cosine": lambda progress, power: (1 - math.cos(math.pi * progress**power)) / 2,
}
"""Share of the scale as a function of progress and power, by name; only "power-cosine" uses the power."""


class GenerationConfig(Config):
    """How ids are sampled from a generator; the steps are the paper's, other defaults are the release's.

    Attributes:
        steps: number of predictions, T, of a generator whose number of steps is a choice.
        temperature: temperature of the Gumbel noise, annealed linearly to 0 at the last step; 0 is
            deterministic. For an autoregressive generator, it divides the logits and is not annealed.
        mask_schedule: the share of ids that MaskGIT keeps masked after each step.
        guidance_scale: 0 means no guidance under any schedule.
        guidance_schedule: a name of `GUIDANCE_SCHEDULES`.
        guidance_power: exponent of "power-cosine"; larger values delay guidance.
        top_k: an autoregressive generator draws among this many most likely ids; 0 means all.
        top_p: likewise among the most likely ids that together have this probability; 1 means all.
    """

    steps: int = Field(default=8, ge=1)
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    mask_schedule: MaskSchedule = "arccos"
    guidance_scale: float = Field(default=4.5, ge=0, allow_inf_nan=False)
    guidance_schedule: str = "constant"
    guidance_power: float = Field(default=3.0, gt=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)

    @field_validator("guidance_schedule")
    @classmethod
    def _known_guidance(cls, name: str) -> str:
        if name not in GUIDANCE_SCHEDULES:
            raise ConfigError(f"unknown guidance schedule {name!r}; {choices_hint(name, GUIDANCE_SCHEDULES)}")
        return name

    @property
    def decoding(self) -> DecodingConfig:
        """The part that the unmasking loop uses."""
        return DecodingConfig(steps=self.steps, temperature=self.temperature, schedule=self.mask_schedule)


def guidance_scales(config: GenerationConfig, steps: int | None = None) -> list[float]:
    """Return the guidance scale of each of `steps` steps (None: as many as configured)."""
    steps = steps or config.steps
    share = GUIDANCE_SCHEDULES[config.guidance_schedule]
    return [config.guidance_scale * share(step / steps, config.guidance_power) for step in range(steps)]


def guide(predicted: Tensor, scale: float) -> Tensor:
    """Combine predictions with a class and then without one, `[2B, ...]`, into guided ones, `[B, ...]`."""
    conditional, unconditional = predicted.chunk(2)
    return conditional + scale * (conditional - unconditional)


def guided(logits: ConditionalLogits, labels: Tensor, null_class: int, config: GenerationConfig) -> Predict:
    """Return the guided predictions of a class-conditional model, for `iterative_unmask`.

    A guided step calls the model once on the batch repeated twice, with its labels and with the null class; a
    step with scale 0 calls it once on the batch.

    Args:
        logits: the model.
        labels: int64 `[B]`.
        null_class: the label that stands for no class.
        config: steps and guidance.

    Returns:
        A function that maps ids `[B, K]` and the step to float32 logits `[B, K, V]`.
    """
    scales = guidance_scales(config)
    both = torch.cat([labels, torch.full_like(labels, null_class)])

    def predict(ids: Tensor, step: int) -> Tensor:
        if scales[step] == 0:
            return logits(ids, labels).float()
        return guide(logits(torch.cat([ids, ids]), both).float(), scales[step])

    return predict
