"""The training loop: it resumes bit for bit, stops when asked, and notices a divergence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, NoisyRegression, Plain, Recorder, assert_resumes, batch_of, batches, run
from torch import nn

from sftok.data.batches import Batch
from sftok.randomness import generator
from sftok.training import loop
from sftok.training.loop import TrainingDiverged, TrainingInterrupted, train
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Losses, Step
from sftok.weights import DamagedFileError


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
