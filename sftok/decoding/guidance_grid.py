"""The grid from which a generator's guidance and temperature are chosen.

The choice is based on numbers measured against training or validation images
(`sftok.evaluation.guidance_choice`); all compared generators have the same grid.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sftok.config import Config
from sftok.decoding.guidance import GenerationConfig


class GuidanceGrid(Config):
    """Every combination of schedule, scale and temperature; the defaults surround the release's values.

    Attributes:
        schedules: names of `sftok.decoding.guidance.GUIDANCE_SCHEDULES`.
        scales: guidance scales; 0 means no guidance and is tried only once, not with each schedule.
        temperatures: temperatures of the Gumbel noise.
        power: exponent of "power-cosine".
    """

    schedules: tuple[str, ...] = Field(default=("constant", "linear", "power-cosine"), min_length=1)
    scales: tuple[float, ...] = Field(default=(0.0, 1.5, 3.0, 4.5, 6.0), min_length=1)
    temperatures: tuple[float, ...] = Field(default=(1.0, 2.0, 4.0), min_length=1)
    power: float = Field(default=3.0, gt=0)

    @model_validator(mode="after")
    def _can_be_sampled(self) -> Self:
        for name, values in (
            ("schedules", self.schedules),
            ("scales", self.scales),
            ("temperatures", self.temperatures),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"{name} has duplicates: {list(values)}")
        for schedule in self.schedules:
            for scale in self.scales:
                for temperature in self.temperatures:
                    GenerationConfig(
                        guidance_schedule=schedule, guidance_scale=scale, temperature=temperature
                    )
        return self

    def points(self, steps: int, mask_schedule: str) -> list[GenerationConfig]:
        """Return the points of the grid, without duplicates, all with these steps and this mask schedule."""
        found: dict[GenerationConfig, None] = {}
        for temperature in self.temperatures:
            for scale in self.scales:
                for schedule in self.schedules if scale > 0 else ("constant",):
                    point = GenerationConfig(
                        steps=steps,
                        mask_schedule=mask_schedule,
                        temperature=temperature,
                        guidance_scale=scale,
                        guidance_schedule=schedule,
                        guidance_power=self.power,
                    )
                    found[point] = None
        return list(found)
