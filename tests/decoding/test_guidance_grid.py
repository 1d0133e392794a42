from __future__ import annotations

from typing import Any

import pytest

from sftok.config import ConfigError
from sftok.decoding.guidance import GUIDANCE_SCHEDULES
from sftok.decoding.guidance_grid import GuidanceGrid


def test_the_points_are_every_combination_once_and_no_guidance_once_for_each_temperature() -> None:
    grid = GuidanceGrid(scales=(0.0, 2.0, 4.0), temperatures=(1.0, 3.0), power=2.0)
    points = grid.points(8, "cosine")
    assert len(points) == len(set(points)) == 2 * (1 + 2 * 3)
    unguided = [point for point in points if point.guidance_scale == 0]
    assert [point.temperature for point in unguided] == [1.0, 3.0]
    guided = {(point.guidance_schedule, point.guidance_scale) for point in points if point.guidance_scale}
    assert guided == {(schedule, scale) for schedule in GUIDANCE_SCHEDULES for scale in (2.0, 4.0)}
    shared = {(point.steps, point.mask_schedule, point.guidance_power) for point in points}
    assert shared == {(8, "cosine", 2.0)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schedules": ("liner",)}, "did you mean 'linear'"),
        ({"schedules": ("linear", "linear")}, "schedules has duplicates"),
        ({"scales": (-1.0,)}, "guidance_scale"),
        ({"scales": ()}, "scales"),
        ({"temperatures": (-1.0,)}, "temperature"),
        ({"power": 0.0}, "power"),
    ],
)
def test_a_grid_that_cannot_be_sampled_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GuidanceGrid.build(values)
