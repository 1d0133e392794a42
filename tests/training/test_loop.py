"""The training loop: it resumes bit for bit, stops when asked, and notices a divergence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sftok.data.batches import Batch
from sftok.training.loop import TrainingConfig, TrainingDiverged, TrainingInterrupted, train
from sftok.training.optimisation import OptimisationConfig
from sftok.training.stages.base import Losses, Stage, Step
from sftok.weights import DamagedFileError

CONFIG = TrainingConfig(
    batch_size=4,
    checkpoint_every=3,
    log_every=1,
    optimisation=OptimisationConfig(learning_rate=1e-2, end_learning_rate=1e-3, warmup_steps=2),
)


class NoisyRegression(Stage):
    """A small network with a random draw in its loss and a buffer, as real stages have."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.trained = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        for parameter in self.trained.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))

    def losses(self, player: str, step: Step) -> Losses:
        noise = torch.randn(step.batch.images.shape[0], 1, generator=step.generator)
        return {"loss": (self.trained(step.batch.images.mean((2, 3))) - noise).square().mean()}


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


def run(folder: Path, monitor: Recorder, steps: int = 10) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    stage = NoisyRegression()
    train(stage, batches, steps, CONFIG, seed=1, folder=folder, monitor=monitor)
    return stage.trained.state_dict()


@pytest.mark.parametrize("stop_after", [1, 2, 3, 7, 9])
def test_a_stopped_run_ends_with_the_same_bits(tmp_path: Path, stop_after: int) -> None:
    whole = Recorder()
    expected = run(tmp_path / "whole", whole)
    parts = Recorder(stop_after)
    with pytest.raises(TrainingInterrupted, match=f"after {stop_after} of 10"):
        run(tmp_path / "parts", parts)
    parts.stop_after = None
    resumed = run(tmp_path / "parts", parts)
    assert parts.resumed_at == stop_after
    assert parts.lines == whole.lines
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    class Killed(Recorder):
        def progress(self, done: int, total: int) -> None:
            if done == 8:
                raise KeyboardInterrupt

    expected = run(tmp_path / "whole", Recorder())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", Killed())
    monitor = Recorder()
    resumed = run(tmp_path / "killed", monitor)
    assert monitor.resumed_at == 6
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "run", Recorder(stop_after=4))
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-3] ^= 0xFF
    checkpoint.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"checkpoint\.safetensors.*damaged"):
        run(tmp_path / "run", Recorder())


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(tmp_path / "run", Recorder(stop_after=4))
    stage = NoisyRegression()
    stage.trained = nn.Linear(3, 2)
    with pytest.raises(DamagedFileError, match="does not fit this run"):
        train(stage, batches, 10, CONFIG, seed=1, folder=tmp_path / "run", monitor=Recorder())


def test_divergence_is_an_error(tmp_path: Path) -> None:
    class Diverging(NoisyRegression):
        def losses(self, player: str, step: Step) -> Losses:
            scale = float("inf") if step.index == 2 else 1.0
            return {"loss": super().losses(player, step)["loss"] * scale}

    with pytest.raises(TrainingDiverged, match="step 3"):
        train(Diverging(), batches, 10, CONFIG, seed=1, folder=tmp_path, monitor=Recorder())


def test_the_result_is_the_average_and_not_the_last_weights(tmp_path: Path) -> None:
    stage = NoisyRegression()
    train(stage, batches, 10, CONFIG, seed=1, folder=tmp_path, monitor=Recorder())
    averaged = stage.trained[0].weight.clone()
    other = NoisyRegression()
    no_average = CONFIG.model_copy(update={"ema_decay": 0.0})
    (tmp_path / "checkpoint.safetensors").unlink()
    train(other, batches, 10, no_average, seed=1, folder=tmp_path, monitor=Recorder())
    assert not torch.equal(averaged, other.trained[0].weight)
