"""The weight average against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sftok.training.ema import WeightAverage


def test_known_values() -> None:
    module, expected = nn.Linear(1, 1, bias=False), 0.0
    module.weight.data.zero_()
    average = WeightAverage(module, decay=0.5)
    for step, value in enumerate([1.0, 2.0, 3.0, -4.0, 7.0, 1.0, 9.0, 2.0, 5.0, 6.0, 1.0]):
        module.weight.data.fill_(value)
        average.update(module, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.tensors["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_integer_buffers_are_copied() -> None:
    norm = nn.BatchNorm1d(2)
    average = WeightAverage(norm, decay=0.9)
    norm(torch.rand(4, 2))
    average.update(norm, 0)
    assert average.tensors["num_batches_tracked"].item() == 1
