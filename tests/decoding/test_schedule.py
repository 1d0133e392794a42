from __future__ import annotations

import math

import pytest
import torch

from sftok.config import ConfigError
from sftok.decoding.schedule import MASK_SCHEDULES, DecodingConfig, mask_schedule, masked_counts, sample_mask


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_known_values():
    assert MASK_SCHEDULES["arccos"](0.5) == pytest.approx(2 / 3)
    assert MASK_SCHEDULES["cosine"](0.5) == pytest.approx(math.sqrt(0.5))
    assert MASK_SCHEDULES["linear"](0.25) == 0.75
    assert MASK_SCHEDULES["square"](0.5) == 0.75
    assert MASK_SCHEDULES["cubic"](0.5) == 0.875
    assert MASK_SCHEDULES["sqrt"](0.25) == 0.5


def test_an_unknown_schedule_lists_the_choices():
    with pytest.raises(ConfigError, match=r"'arcos'; did you mean 'arccos'\? choices: arccos, cosine"):
        mask_schedule("arcos")
    with pytest.raises(ConfigError, match="schedule = 'arcos': unknown mask schedule"):
        DecodingConfig.build({"schedule": "arcos"})


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"temperature": -1},
        {"temperature": float("inf")},
        {"final_lookup": "medium"},
        {"step": 2},
    ],
)
def test_config_refuses(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        DecodingConfig.build(change)


def test_masked_counts_known_values():
    assert masked_counts("arccos", 1, 16) == [0]
    assert masked_counts("arccos", 4, 16) == [13, 10, 7, 0]
    assert masked_counts("linear", 4, 16) == [12, 8, 4, 0]
    assert masked_counts("arccos", 6, 3) == [2, 1, 1, 1, 1, 0]


def test_sample_mask_is_fixed_by_its_generator():
    assert torch.equal(sample_mask((4, 16), "arccos", seeded(1)), sample_mask((4, 16), "arccos", seeded(1)))
    assert not torch.equal(
        sample_mask((4, 16), "arccos", seeded(1)), sample_mask((4, 16), "arccos", seeded(2))
    )


def test_sample_mask_masks_what_the_schedule_says_everywhere_alike():
    mask = sample_mask((20000, 10), "arccos", seeded()).float()
    # The mean of 2/pi arccos(u), u uniform, is 2/pi; every position has it.
    assert mask.mean(0) == pytest.approx(torch.full((10,), 2 / math.pi), abs=0.015)


def test_sample_mask_always_masks_something():
    assert sample_mask((500, 2), "sqrt", seeded()).any(1).all()
