"""A training of a moment, for the tests of this folder: its configuration, data, monitor and stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import nn

from sftok.data.batches import Batch
from sftok.training.interruption import TrainingInterrupted
from sftok.training.loop import BatchSource, TrainingConfig, train
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Losses, Stage, Step

CONFIG = TrainingConfig(
    batch_size=4,
    checkpoint_every=3,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-2, end_learning_rate=1e-3, warmup_steps=2),
)


class Recorder:
    """A monitor that keeps the curve, and stops or kills the training after some updates."""

    def __init__(self, stop_after: int | None = None, kill_at: int | None = None):
        self.lines: list[dict[str, Any]] = []
        self.resumed_at: int | None = None
        self.done = 0
        self.stop_after, self.kill_at = stop_after, kill_at

    def progress(self, done: int, total: int) -> None:
        self.done = done
        if done == self.kill_at:
            raise KeyboardInterrupt

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


S = TypeVar("S", bound=Stage)


def run(
    stage: S,
    folder: Path,
    monitor: Recorder | None = None,
    steps: int = 10,
    source: BatchSource = batches,
    config: TrainingConfig = CONFIG,
    **changes: Any,
) -> S:
    """Train `stage` in `folder` under `config` with `changes`, and return it."""
    folder.mkdir(exist_ok=True)
    config = config.model_copy(update=changes)
    train(stage, source, steps, config, seed=1, folder=folder, monitor=monitor or Recorder())
    return stage


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    expected = other.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in one.state_dict().items())


def assert_resumes(
    make: Callable[[], S], folder: Path, stop_after: int, steps: int = 10, **options: Any
) -> tuple[S, Recorder]:
    """A training that is stopped and resumed has the curve and the bits of one that is not."""
    whole, parts = Recorder(), Recorder(stop_after)
    expected = run(make(), folder / "whole", whole, steps, **options)
    with pytest.raises(TrainingInterrupted, match=f"after {stop_after} of {steps}"):
        run(make(), folder / "parts", parts, steps, **options)
    parts.stop_after = None
    resumed = run(make(), folder / "parts", parts, steps, **options)
    assert parts.resumed_at == stop_after
    assert parts.lines == whole.lines
    assert_same_bits(resumed, expected)
    return resumed, parts


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
        # In float32, as every real loss is: the first scale of fp16 cannot be represented in fp16.
        return {"loss": (predicted.float() - 1).square().mean()}
