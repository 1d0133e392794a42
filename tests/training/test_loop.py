"""The training loop: it resumes bit for bit, stops when asked, and notices a divergence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, NoisyRegression, Plain, Recorder, batches
from torch import nn

from sftok.data.batches import Batch
from sftok.randomness import generator
from sftok.training import loop
from sftok.training.loop import TrainingConfig, TrainingDiverged, TrainingInterrupted, train
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Losses, Step
from sftok.weights import DamagedFileError


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


def test_a_run_killed_before_its_first_checkpoint_begins_anew_and_says_so(tmp_path: Path) -> None:
    class Killed(Recorder):
        def progress(self, done: int, total: int) -> None:
            if done == 2:
                raise KeyboardInterrupt

    whole, monitor = Recorder(), Killed()
    run(tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", monitor)
    again = Recorder()
    again.lines = monitor.lines
    run(tmp_path / "killed", again)
    assert again.resumed_at == 0
    assert again.lines == whole.lines


def test_the_seconds_are_those_of_all_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(ticks)))

    def seconds(monitor: Recorder) -> float:
        return train(NoisyRegression(), batches, 10, CONFIG, seed=1, folder=tmp_path, monitor=monitor)

    with pytest.raises(TrainingInterrupted):
        seconds(Recorder(stop_after=4))
    assert seconds(Recorder()) == 10, "a tick a step"


def test_a_long_gradient_is_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(named: Iterable[tuple[str, nn.Parameter]], _: OptimizerConfig) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameter for _, parameter in named])

    monkeypatch.setattr(loop, "adamw", plain)
    before, stage, monitor = NoisyRegression(), NoisyRegression(), Recorder()
    own = OptimizerConfig(learning_rate=0.5, end_learning_rate=0.5, max_grad_norm=0.01)
    config = TrainingConfig(batch_size=4, ema_decay=0, optimizer=own)
    train(stage, batches, 1, config, seed=1, folder=tmp_path, monitor=monitor)
    moved = [after - start for after, start in zip(stage.parameters(), before.parameters(), strict=True)]
    assert monitor.lines[0]["grad_norm"] > 0.1, "what is told is the length before"
    rate = monitor.lines[0]["learning_rate"]
    assert torch.cat([each.flatten() for each in moved]).norm().item() == pytest.approx(rate * 0.01, rel=1e-3)


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_every_batch_has_draws_of_its_own(tmp_path: Path, accumulation: int) -> None:
    class Drawing(NoisyRegression):
        def losses(self, optimizer: str, step: Step) -> Losses:
            draws.append(torch.rand(1, generator=step.generator).item())
            return super().losses(optimizer, step)

    draws: list[float] = []
    config = CONFIG.model_copy(update={"gradient_accumulation": accumulation})
    steps = 6 // accumulation
    train(Drawing(), batches, steps, config, seed=1, folder=tmp_path, monitor=Recorder())
    expected = [torch.rand(1, generator=generator(1, "step", batch)).item() for batch in range(6)]
    assert draws == expected
    assert len(set(draws)) == 6


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
        def losses(self, optimizer: str, step: Step) -> Losses:
            scale = float("inf") if step.index == 2 else 1.0
            return {"loss": super().losses(optimizer, step)["loss"] * scale}

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


def test_accumulation_equals_a_larger_batch(tmp_path: Path) -> None:
    def merged(start: int) -> Iterator[Batch]:
        small = batches(2 * start)
        for left, right in zip(small, small, strict=True):
            yield Batch(
                images=torch.cat([left.images, right.images]),
                labels=torch.cat([left.labels, right.labels]),
                indices=torch.cat([left.indices, right.indices]),
            )

    recorders, weights = [Recorder(), Recorder()], []
    for source, accumulation, recorder in ((batches, 2, recorders[0]), (merged, 1, recorders[1])):
        folder = tmp_path / str(accumulation)
        folder.mkdir()
        stage, config = Plain(), CONFIG.model_copy(update={"gradient_accumulation": accumulation})
        train(stage, source, 6, config, seed=1, folder=folder, monitor=recorder)
        weights.append(stage.trained.weight)
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-7)
    for left, right in zip(recorders[0].lines, recorders[1].lines, strict=True):
        assert left == pytest.approx(right, rel=1e-5)
