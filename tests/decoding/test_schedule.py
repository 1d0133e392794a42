from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import seeded

from sftok.config import ConfigError
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.schedule import MASK_SCHEDULES, DecodingConfig, masked_counts, sample_mask
from sftok.evaluation.config import EvaluationConfig
from sftok.training.stages.fine_tuning import FineTuningConfig
from sftok.training.stages.generator import GeneratorLossConfig
from sftok.training.stages.tokenizer import AlignmentConfig

HALFWAY = {"arccos": 2 / 3, "cosine": math.sqrt(0.5), "linear": 0.5, "square": 0.75, "cubic": 0.875}
HALFWAY |= {"sqrt": 1 - math.sqrt(0.5)}

schedules = st.sampled_from(sorted(MASK_SCHEDULES))


def test_known_values_halfway():
    assert {name: schedule(0.5) for name, schedule in MASK_SCHEDULES.items()} == pytest.approx(HALFWAY)


@given(schedules, st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_schedule_falls_from_all_to_none(name, points):
    fractions = [MASK_SCHEDULES[name](point) for point in (0.0, *sorted(points), 1.0)]
    assert (fractions[0], fractions[-1]) == pytest.approx((1, 0), abs=1e-9)
    assert all(before >= after - 1e-12 for before, after in itertools.pairwise(fractions))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        *((config, "schedule") for config in (DecodingConfig, EvaluationConfig)),
        *((config, "mask_schedule") for config in (GenerationConfig, AlignmentConfig)),
        *((config, "mask_schedule") for config in (FineTuningConfig, GeneratorLossConfig)),
    ],
)
def test_every_configuration_refuses_an_unknown_schedule_with_the_choices(config, field):
    choices = r"did you mean 'arccos'\? choices: arccos, cosine"
    with pytest.raises(ConfigError, match=rf"{field} = 'arcos': unknown mask schedule 'arcos'; {choices}"):
        config.build({field: "arcos"})


def test_masked_counts_known_values():
    assert masked_counts("arccos", 1, 16) == [0]
    assert masked_counts("arccos", 4, 16) == [13, 10, 7, 0]
    assert masked_counts("linear", 4, 16) == [12, 8, 4, 0]
    assert masked_counts("arccos", 6, 3) == [2, 1, 1, 1, 1, 0]


@given(schedules, st.integers(1, 40), st.integers(1, 300))
def test_masked_counts_fall_to_zero_and_never_stall_early(name, steps, length):
    counts = [length, *masked_counts(name, steps, length)]
    assert (len(counts), counts[-1]) == (steps + 1, 0)
    for before, after in itertools.pairwise(counts[:-1]):
        assert after == 1 if before == 1 else 1 <= after < before


@given(schedules, st.integers(1, 6), st.integers(1, 40), st.integers(0, 2**31))
def test_a_training_mask_masks_between_one_and_all_and_is_fixed_by_its_seed(name, batch, length, seed):
    mask = sample_mask((batch, length), name, seeded(seed))
    assert (mask.shape, mask.dtype) == ((batch, length), torch.bool)
    assert (mask.sum(1) >= 1).all()
    assert torch.equal(sample_mask((batch, length), name, seeded(seed)), mask)


def test_every_position_is_masked_as_often_as_the_schedule_says():
    mask = sample_mask((20000, 10), "arccos", seeded()).float()
    # The mean of 2/pi arccos(u), u uniform, is 2/pi; every position has it.
    assert mask.mean(0) == pytest.approx(torch.full((10,), 2 / math.pi), abs=0.015)
