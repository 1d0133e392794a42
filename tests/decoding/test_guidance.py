from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import draw

from sftok.config import ConfigError
from sftok.decoding.guidance import GUIDANCE_SCHEDULES, GenerationConfig, guidance_scales, guided
from sftok.decoding.guidance_grid import GuidanceGrid

B, K, V, NULL = 3, 4, 5, 7
LABELS = torch.tensor([0, 2, 1])


class Model:
    """Logits that are a function of label and position; keeps the labels of its calls."""

    def __init__(self) -> None:
        self.table = draw(NULL + 1, K, V)
        self.calls: list[list[int]] = []

    def __call__(self, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert len(ids) == len(labels)
        self.calls.append(labels.tolist())
        return self.table[labels]


def steps_of(model: Model, config: GenerationConfig) -> list[torch.Tensor]:
    """The guided logits of each step."""
    predict = guided(model, LABELS, NULL, config)
    return [predict(torch.full((B, K), V), step) for step in range(config.steps)]


@pytest.mark.parametrize(
    ("schedule", "power", "expected"),
    [
        ("constant", 3.0, [2.0, 2.0, 2.0, 2.0]),
        ("linear", 3.0, [0.0, 0.5, 1.0, 1.5]),
        ("power-cosine", 1.0, [0.0, 1 - 0.5**0.5, 1.0, 1 + 0.5**0.5]),
        ("power-cosine", 2.0, [0.0, 0.0192147, 0.2928932, 1.1950903]),
    ],
)
def test_known_scales(schedule, power, expected):
    config = GenerationConfig(steps=4, guidance_scale=2.0, guidance_schedule=schedule, guidance_power=power)
    assert guidance_scales(config) == pytest.approx(expected, abs=1e-6)


@given(st.sampled_from(sorted(GUIDANCE_SCHEDULES)), st.integers(1, 20), st.floats(0, 20), st.floats(0.1, 8))
def test_guidance_never_falls_nor_exceeds_its_scale(schedule, steps, scale, power):
    config = {"guidance_scale": scale, "guidance_schedule": schedule, "guidance_power": power}
    scales = guidance_scales(GenerationConfig(steps=steps, **config))
    assert len(scales) == steps
    assert scales == sorted(scales)
    assert all(0 <= each <= scale for each in scales)


@pytest.mark.parametrize("schedule", GUIDANCE_SCHEDULES)
def test_scale_zero_is_one_pass_of_the_conditional_model(schedule):
    model = Model()
    logits = steps_of(model, GenerationConfig(steps=3, guidance_scale=0.0, guidance_schedule=schedule))
    assert all(torch.equal(each, model.table[LABELS]) for each in logits)
    assert model.calls == 3 * [LABELS.tolist()]


def test_guidance_moves_away_from_the_unconditional_logits_in_one_call():
    model = Model()
    (logits,) = steps_of(model, GenerationConfig(steps=1, guidance_scale=1.5))
    conditional, unconditional = model.table[LABELS], model.table[NULL]
    torch.testing.assert_close(logits, conditional + 1.5 * (conditional - unconditional))
    assert model.calls == [[*LABELS.tolist(), NULL, NULL, NULL]]


def test_only_guided_steps_cost_twice():
    model = Model()
    steps_of(model, GenerationConfig(steps=3, guidance_scale=1.0, guidance_schedule="linear"))
    assert [len(call) for call in model.calls] == [B, 2 * B, 2 * B]


def test_the_loop_gets_the_steps_the_temperature_and_the_mask_schedule():
    decoding = GenerationConfig(steps=5, temperature=2.0, mask_schedule="cosine").decoding
    assert (decoding.steps, decoding.temperature, decoding.schedule) == (5, 2.0, "cosine")


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
