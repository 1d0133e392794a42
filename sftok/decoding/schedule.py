"""Mask schedules: the share of codes still masked as decoding, or a training draw, progresses.

A schedule maps progress r in [0, 1] to the masked fraction, from 1 at r = 0 down to 0 at r = 1. The paper
follows MaskGIT, whose released code, like SFTok's, uses the arccos of r.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from sftok.config import Config, ConfigError, choices_hint

Schedule = Callable[[float], float]

MASK_SCHEDULES: Mapping[str, Schedule] = {
    "arccos": lambda progress: math.acos(progress) / (math.pi / 2),
    "cosine": lambda progress: math.cos(progress * math.pi / 2),
    "linear": lambda progress: 1 - progress,
    "square": lambda progress: 1 - progress**2,
    "cubic": lambda progress: 1 - progress**3,
    "sqrt": lambda progress: 1 - math.sqrt(progress),
}
"""Masked fraction as a function of progress, by name."""


def mask_schedule(name: str) -> Schedule:
    """Return the schedule of that name.

    Raises:
        ConfigError: no such schedule exists; the message lists the choices.
    """
    if name not in MASK_SCHEDULES:
        raise ConfigError(f"unknown mask schedule {name!r}; {choices_hint(name, MASK_SCHEDULES)}")
    return MASK_SCHEDULES[name]


def _known(name: str) -> str:
    mask_schedule(name)
    return name


MaskSchedule = Annotated[str, AfterValidator(_known)]
"""A field of a configuration that names one of `MASK_SCHEDULES`."""


class DecodingConfig(Config):
    """How the codes of an image are decoded iteratively.

    Attributes:
        steps: number of predictions, T of the paper; 1 predicts every code at once.
        temperature: temperature of the Gumbel noise, annealed linearly to 0 at the last step; 0 is
            deterministic.
        schedule: the mask schedule.
        final_lookup: "hard" decodes the chosen codes, "soft" the expectation of their embeddings under the
            last step's logits, as in fine-tuning (stage 3).
    """

    steps: int = Field(default=8, ge=1)
    temperature: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    schedule: MaskSchedule = "arccos"
    final_lookup: Literal["hard", "soft"] = "hard"


def masked_counts(schedule: str, steps: int, length: int) -> list[int]:
    """Return how many of `length` codes are still masked after each step: `steps` numbers, the last one 0.

    Each step reveals at least one code while more than one is masked, and at least one stays masked until the
    last step: with more steps than codes, the final code is predicted repeatedly.
    """
    masked_fraction = mask_schedule(schedule)
    counts: list[int] = []
    masked = length
    for step in range(1, steps):
        masked = max(1, min(masked - 1, math.floor(length * masked_fraction(step / steps))))
        counts.append(masked)
    return [*counts, 0]


def sample_mask(shape: tuple[int, int], schedule: str, generator: torch.Generator) -> Tensor:
    """Draw a training mask: random positions, as many as the schedule gives at a uniform draw per sample.

    Args:
        shape: (B, N).
        schedule: a name of `MASK_SCHEDULES`.
        generator: source of all draws; the mask is on its device.

    Returns:
        bool `[B, N]`, True where masked; at least one position per sample, so that each contributes to the
        loss.
    """
    batch, length = shape
    masked_fraction = mask_schedule(schedule)
    progress = torch.rand(batch, generator=generator, device=generator.device)
    counts = [max(1, round(length * masked_fraction(draw))) for draw in progress.tolist()]
    order = torch.rand(batch, length, generator=generator, device=generator.device).argsort(dim=1)
    return order < torch.tensor(counts, device=generator.device).unsqueeze(1)
