"""A training of a moment, for the tests of this folder: its configuration, data, monitor and stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sftok.data.batches import Batch
from sftok.training.loop import TrainingConfig
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Losses, Stage, Step

CONFIG = TrainingConfig(
    batch_size=4,
    checkpoint_every=3,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-2, end_learning_rate=1e-3, warmup_steps=2),
)


class Recorder:
    def __init__(self, stop_after: int | None = None):
        self.lines: list[dict[str, Any]] = []
        self.resumed_at: int | None = None
        self.done = 0
        self.stop_after = stop_after

    def progress(self, done: int, total: int) -> None:
        self.done = done

    def record(self, values: dict[str, Any]) -> None:
        self.lines.append(values)

    def resumed(self, step: int) -> None:
        self.resumed_at = step
        self.lines = [line for line in self.lines if line["step"] <= step]

    def should_stop(self) -> bool:
        return self.stop_after is not None and self.done >= self.stop_after


def batches(start: int) -> Iterator[Batch]:
    for index in range(start, 1000):
        images = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(index))
        yield Batch(images=images, labels=torch.zeros(4, dtype=torch.long), indices=torch.arange(4))


class NoisyRegression(Stage):
    """A small network with a random draw in its loss and a buffer, as real stages have."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.trained = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        for parameter in self.trained.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))

    def losses(self, optimizer: str, step: Step) -> Losses:
        noise = torch.randn(step.batch.images.shape[0], 1, generator=step.generator)
        return {"loss": (self.trained(step.batch.images.mean((2, 3))) - noise).square().mean()}


class Plain(Stage):
    """Without noise and batch norm: its gradient is the mean of its images' gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.trained = nn.Linear(3, 1)
        self.trained.weight.data.copy_(torch.tensor([[0.3, -0.2, 0.1]]))
        self.trained.bias.data.zero_()
        self.computed_in: set[torch.dtype] = set()

    def losses(self, optimizer: str, step: Step) -> Losses:
        predicted = self.trained(step.batch.images.mean((2, 3)))
        self.computed_in.add(predicted.dtype)
        # In float32, as every real loss is: the first scale of fp16 is itself no number of fp16.
        return {"loss": (predicted.float() - 1).square().mean()}
