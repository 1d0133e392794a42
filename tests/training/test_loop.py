"""The training loop: one or two optimizers, resumed bit for bit, stopped when asked; no silent divergence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import CONFIG, NoisyRegression, Plain, Recorder, assert_resumes, batch_of, batches, run
from torch import nn

from sftok.config import ConfigError
from sftok.data.batches import Batch
from sftok.io.weights import DamagedFileError
from sftok.randomness import generator
from sftok.training import loop
from sftok.training.loop import TrainingDiverged, TrainingInterrupted, train
from sftok.training.optimizer import OptimizerConfig, learning_rate
from sftok.training.stages.base import Losses, Stage, Step


@pytest.mark.parametrize("kill_at", [8, 2], ids=["after a checkpoint", "before the first checkpoint"])
def test_a_killed_run_resumes_from_its_last_checkpoint(tmp_path: Path, kill_at: int) -> None:
    assert_resumes(NoisyRegression, tmp_path, kill_at=kill_at)


def test_the_seconds_are_those_of_all_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(ticks)))
    with pytest.raises(TrainingInterrupted):
        run(NoisyRegression(), tmp_path, Recorder(stop_after=4))
    seconds = train(NoisyRegression(), batches, 10, CONFIG, seed=1, folder=tmp_path, monitor=Recorder())
    assert seconds == 10, "a tick a step"


def test_a_long_gradient_is_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(named: Iterable[tuple[str, nn.Parameter]], _: OptimizerConfig) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameter for _, parameter in named])

    monkeypatch.setattr(loop, "adamw", plain)
    before, monitor = NoisyRegression(), Recorder()
    own = OptimizerConfig(learning_rate=0.5, end_learning_rate=0.5, max_grad_norm=0.01)
    stage = run(NoisyRegression(), tmp_path, monitor, steps=1, ema_decay=0, optimizer=own)
    moved = [after - start for after, start in zip(stage.parameters(), before.parameters(), strict=True)]
    assert monitor.lines[0]["grad_norm"] > 0.1, "the norm before clipping"
    rate = monitor.lines[0]["learning_rate"]
    assert torch.cat([each.flatten() for each in moved]).norm().item() == pytest.approx(rate * 0.01, rel=1e-3)


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_every_batch_has_its_own_draws(tmp_path: Path, accumulation: int) -> None:
    class Drawing(NoisyRegression):
        def losses(self, optimizer: str, step: Step) -> Losses:
            draws.append(torch.rand(1, generator=step.generator).item())
            return super().losses(optimizer, step)

    draws: list[float] = []
    run(Drawing(), tmp_path, steps=6 // accumulation, gradient_accumulation=accumulation)
    assert draws == [torch.rand(1, generator=generator(1, "step", batch)).item() for batch in range(6)]
    assert len(set(draws)) == 6


def test_an_unusable_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainingInterrupted):
        run(NoisyRegression(), tmp_path, Recorder(stop_after=4))
    other = NoisyRegression()
    other.trained = nn.Linear(3, 2)
    with pytest.raises(DamagedFileError, match=r"checkpoint\.safetensors.*does not fit this run"):
        run(other, tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"checkpoint\.safetensors.*damaged"):
        run(NoisyRegression(), tmp_path)


def test_divergence_is_an_error(tmp_path: Path) -> None:
    class Diverging(NoisyRegression):
        def losses(self, optimizer: str, step: Step) -> Losses:
            scale = float("inf") if step.index == 2 else 1.0
            return {"loss": super().losses(optimizer, step)["loss"] * scale}

    with pytest.raises(TrainingDiverged, match="gradient of the model is not finite at step 3"):
        run(Diverging(), tmp_path)


def test_the_result_is_the_average_and_not_the_last_weights(tmp_path: Path) -> None:
    found = [run(NoisyRegression(), tmp_path / str(decay), ema_decay=decay) for decay in (0.999, 0.0)]
    assert not torch.equal(*(stage.trained[0].weight for stage in found))


def test_accumulation_equals_a_larger_batch(tmp_path: Path) -> None:
    def merged(start: int) -> Iterator[Batch]:
        small = batches(2 * start)
        for left, right in zip(small, small, strict=True):
            yield batch_of(torch.cat([left.images, right.images]))

    recorders = [Recorder(), Recorder()]
    small = run(Plain(), tmp_path / "small", recorders[0], steps=6, gradient_accumulation=2)
    large = run(Plain(), tmp_path / "large", recorders[1], steps=6, source=merged)
    torch.testing.assert_close(small.trained.weight, large.trained.weight, rtol=1e-5, atol=1e-7)
    for left, right in zip(*(recorder.lines for recorder in recorders), strict=True):
        assert left == pytest.approx(right, rel=1e-5)


class Rivals(Stage):
    """Two optimizers: the second starts later, and reads what the losses of the first left for it."""

    def __init__(self, start: int = 4) -> None:
        super().__init__()
        self.trained = NoisyRegression().trained
        self.rival = nn.Linear(1, 1)
        self.rival.weight.data.fill_(0.5)
        self.rival.bias.data.fill_(0.1)
        self.register_buffer("seen", torch.zeros(()))
        self.start = start

    def optimizers(self) -> dict[str, Any]:
        return {"model": self.trained.named_parameters(), "rival": self.rival.named_parameters()}

    def first_update(self, optimizer: str) -> int:
        return self.start if optimizer == "rival" else 0

    def losses(self, optimizer: str, step: Step) -> Losses:
        if optimizer == "model":
            guess = self.trained(step.batch.images.mean((2, 3)))
            step.shared["guess"] = guess.detach()
            return {"loss": (self.rival(guess) - 1).square().mean()}
        noise = torch.randn(1, generator=step.generator)
        self.seen += 1
        return {"loss": (self.rival(step.shared["guess"]) + noise).square().mean()}


@pytest.mark.parametrize("stop_after", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_optimizers_resume_bit_for_bit_across_the_start_of_one(
    tmp_path: Path, stop_after: int, accumulation: int
) -> None:
    assert_resumes(Rivals, tmp_path, stop_after, gradient_accumulation=accumulation)


def test_an_optimizer_that_starts_later_does_nothing_until_then(tmp_path: Path) -> None:
    recorder = Recorder()
    before = run(Rivals(), tmp_path / "before", recorder, steps=4)
    assert before.seen == 0
    assert torch.equal(before.rival.weight, Rivals().rival.weight)
    assert not any("rival_loss" in line for line in recorder.lines)
    after = run(Rivals(), tmp_path / "after", recorder, steps=5)
    assert after.seen == 1
    assert not torch.equal(after.rival.weight, Rivals().rival.weight)
    assert {"loss", "grad_norm", "rival_loss", "rival_grad_norm"} <= set(recorder.lines[-1])


def test_each_optimizer_has_the_configuration_of_its_name_and_starts_its_learning_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def rate(update: int, total: int, config: OptimizerConfig) -> float:
        asked.append((config.learning_rate, update, total))
        return learning_rate(update, total, config)

    monkeypatch.setattr(loop, "learning_rate", rate)
    slow = OptimizerConfig(learning_rate=1e-9, end_learning_rate=0.0, weight_decay=0.0)
    stage = run(Rivals(), tmp_path, optimizers={"rival": slow})
    assert [entry for entry in asked if entry[0] == 1e-9] == [(1e-9, update, 6) for update in range(6)]
    torch.testing.assert_close(stage.rival.weight, Rivals().rival.weight, rtol=0, atol=1e-7)
    assert not torch.equal(stage.trained[0].weight, NoisyRegression().trained[0].weight)


def test_an_unknown_optimizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown optimizer 'rivals'; did you mean 'rival'\?"):
        run(Rivals(), tmp_path, optimizers={"rivals": OptimizerConfig()})
