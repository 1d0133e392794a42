from __future__ import annotations

import math

import pytest
import torch
from small_models import seeded

from sftok.config import ConfigError
from sftok.decoding.guidance import GenerationConfig
from sftok.decoding.schedule import MASK_SCHEDULES, DecodingConfig, masked_counts, sample_mask
from sftok.evaluation.config import EvaluationConfig
from sftok.training.stages.fine_tuning import FineTuningConfig
from sftok.training.stages.generator import GeneratorLossConfig
from sftok.training.stages.tokenizer import AlignmentConfig


@pytest.mark.parametrize(
    ("name", "fraction"),
    [
        ("arccos", 2 / 3),
        ("cosine", math.sqrt(0.5)),
        ("linear", 0.5),
        ("square", 0.75),
        ("cubic", 0.875),
        ("sqrt", 1 - math.sqrt(0.5)),
    ],
)
def test_known_values_halfway(name, fraction):
    assert MASK_SCHEDULES[name](0.5) == pytest.approx(fraction)


CONFIGS = [
    (DecodingConfig, "schedule"),
    (GenerationConfig, "mask_schedule"),
    (AlignmentConfig, "mask_schedule"),
    (FineTuningConfig, "mask_schedule"),
    (GeneratorLossConfig, "mask_schedule"),
    (EvaluationConfig, "schedule"),
]


@pytest.mark.parametrize(("config", "field"), CONFIGS)
def test_every_configuration_refuses_an_unknown_schedule_with_the_choices(config, field):
    problem = (
        rf"{field} = 'arcos': unknown mask schedule 'arcos'; did you mean 'arccos'\? choices: arccos, cosine"
    )
    with pytest.raises(ConfigError, match=problem):
        config.build({field: "arcos"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("temperature", -1),
        ("temperature", float("inf")),
        ("final_lookup", "medium"),
        ("step", 2),
    ],
)
def test_an_unusable_decoding_is_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        DecodingConfig.build({field: value})


def test_masked_counts_known_values():
    assert masked_counts("arccos", 1, 16) == [0]
    assert masked_counts("arccos", 4, 16) == [13, 10, 7, 0]
    assert masked_counts("linear", 4, 16) == [12, 8, 4, 0]
    assert masked_counts("arccos", 6, 3) == [2, 1, 1, 1, 1, 0]


def test_sample_mask_is_fixed_by_its_generator():
    first, same, other = (sample_mask((4, 16), "arccos", seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_every_position_is_masked_as_often_as_the_schedule_says():
    mask = sample_mask((20000, 10), "arccos", seeded()).float()
    # The mean of 2/pi arccos(u), u uniform, is 2/pi; every position has it.
    assert mask.mean(0) == pytest.approx(torch.full((10,), 2 / math.pi), abs=0.015)
