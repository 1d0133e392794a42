from __future__ import annotations

import pytest
import torch
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.decoding.drawing import draw_ids, filtered
from sftok.decoding.guidance import GenerationConfig

LOGITS = torch.tensor([[3.0, 1.0, 1.0, 0.0], [0.0, 0.0, 5.0, -1.0]])


def kept(**changes) -> list[list[int]]:
    found = filtered(LOGITS, GenerationConfig(**changes)).isfinite()
    return [line.nonzero().flatten().tolist() for line in found]


def test_temperature_zero_draws_nothing_and_takes_the_most_likely():
    generator = seeded()
    state = generator.get_state()
    assert draw_ids(LOGITS, GenerationConfig(temperature=0.0), generator).tolist() == [0, 2]
    assert torch.equal(generator.get_state(), state)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        ({"top_k": 1}, [[0], [2]]),
        ({"top_k": 2}, [[0, 1, 2], [0, 1, 2]]),  # ties stay
        ({"top_k": 9}, [[0, 1, 2, 3], [0, 1, 2, 3]]),
        ({"top_p": 1e-6}, [[0], [2]]),
        ({"top_p": 0.8}, [[0, 1], [2]]),
        ({"top_p": 0.8, "temperature": 5.0}, [[0, 1, 2], [0, 1, 2]]),
        ({"top_k": 1, "top_p": 0.9}, [[0], [2]]),
    ],
)
def test_what_may_be_drawn(changes, expected):
    assert kept(**changes) == expected


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_ids_are_drawn_as_often_as_the_softmax_says(temperature):
    logits = draw(1, 6)
    ids = draw_ids(logits.expand(20_000, 6), GenerationConfig(temperature=temperature), seeded())
    shares = ids.bincount(minlength=6) / 20_000
    assert_close(shares, (logits[0] / temperature).softmax(-1), atol=0.015, rtol=0)
