"""A restored checkpoint continues as if nothing had happened, whatever the layout in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import draw
from torch import nn

from sftok.training.checkpoint import TrainingState
from sftok.training.ema import WeightAverage
from sftok.training.optimizer import OptimizerConfig, adamw


class Run:
    """A convolution that learns noise, in one memory layout."""

    def __init__(self, memory_format: torch.memory_format):
        self.layer = nn.Conv2d(3, 5, 3).to(memory_format=memory_format)
        for parameter in self.layer.parameters():
            parameter.data.fill_(0.1)
        self.optimizer = adamw(self.layer.named_parameters(), OptimizerConfig(learning_rate=0.1))
        self.state = TrainingState(self.layer, {"model": self.optimizer}, WeightAverage(self.layer, 0.9), {})

    def step(self, number: int) -> None:
        images = draw(2, 3, 6, 6, seed=number)
        self.optimizer.zero_grad()
        (self.layer(images) - images[:, :1, 1:-1, 1:-1]).square().mean().backward()
        self.optimizer.step()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_moments_are_restored_with_their_weights(tmp_path: Path, memory_format: torch.memory_format) -> None:
    whole, restored = Run(memory_format), Run(memory_format)
    for number in range(2):
        whole.step(number)
    whole.state.save(tmp_path)
    assert restored.state.restore(tmp_path)
    for run in (whole, restored):
        run.step(2)
    assert torch.equal(whole.layer.weight, restored.layer.weight)
