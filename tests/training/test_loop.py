"""The training loop: it resumes bit for bit, stops when asked, notices a divergence, and referees players."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sftok.config import ConfigError
from sftok.data.batches import Batch
from sftok.randomness import generator
from sftok.training import loop
from sftok.training.loop import TrainingConfig, TrainingDiverged, TrainingInterrupted, train
from sftok.training.optimisation import OptimisationConfig, learning_rate
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
    def plain(named: Iterable[tuple[str, nn.Parameter]], _: OptimisationConfig) -> torch.optim.Optimizer:
        return torch.optim.SGD([parameter for _, parameter in named])

    monkeypatch.setattr(loop, "adamw", plain)
    before, stage, monitor = NoisyRegression(), NoisyRegression(), Recorder()
    optimisation = OptimisationConfig(learning_rate=0.5, end_learning_rate=0.5, max_grad_norm=0.01)
    config = TrainingConfig(batch_size=4, ema_decay=0, optimisation=optimisation)
    train(stage, batches, 1, config, seed=1, folder=tmp_path, monitor=monitor)
    moved = [after - start for after, start in zip(stage.parameters(), before.parameters(), strict=True)]
    assert monitor.lines[0]["grad_norm"] > 0.1, "what is told is the length before"
    rate = monitor.lines[0]["learning_rate"]
    assert torch.cat([each.flatten() for each in moved]).norm().item() == pytest.approx(rate * 0.01, rel=1e-3)


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_every_batch_has_draws_of_its_own(tmp_path: Path, accumulation: int) -> None:
    class Drawing(NoisyRegression):
        def losses(self, player: str, step: Step) -> Losses:
            draws.append(torch.rand(1, generator=step.generator).item())
            return super().losses(player, step)

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


class Rivals(Stage):
    """Two players: the second joins later, and reads what the first left for it."""

    def __init__(self, start: int = 4) -> None:
        super().__init__()
        self.trained = NoisyRegression().trained
        self.rival = nn.Linear(1, 1)
        self.rival.weight.data.fill_(0.5)
        self.rival.bias.data.fill_(0.1)
        self.register_buffer("seen", torch.zeros(()))
        self.start = start

    def players(self) -> dict[str, Any]:
        return {"model": self.trained.named_parameters(), "rival": self.rival.named_parameters()}

    def first_update(self, player: str) -> int:
        return self.start if player == "rival" else 0

    def losses(self, player: str, step: Step) -> Losses:
        if player == "model":
            guess = self.trained(step.batch.images.mean((2, 3)))
            step.shared["guess"] = guess.detach()
            return {"loss": (self.rival(guess) - 1).square().mean()}
        noise = torch.randn(1, generator=step.generator)
        self.seen += 1
        return {"loss": (self.rival(step.shared["guess"]) + noise).square().mean()}


def train_rivals(
    folder: Path, monitor: Recorder, steps: int = 10, **changes: Any
) -> tuple[Rivals, dict[str, torch.Tensor]]:
    folder.mkdir(exist_ok=True)
    stage = Rivals()
    config = CONFIG.model_copy(update=changes)
    train(stage, batches, steps, config, seed=1, folder=folder, monitor=monitor)
    return stage, stage.state_dict()


@pytest.mark.parametrize("stop_after", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_players_resume_bit_for_bit_across_the_start_of_one(
    tmp_path: Path, stop_after: int, accumulation: int
) -> None:
    whole, parts = Recorder(), Recorder(stop_after)
    _, expected = train_rivals(tmp_path / "whole", whole, gradient_accumulation=accumulation)
    with pytest.raises(TrainingInterrupted):
        train_rivals(tmp_path / "parts", parts, gradient_accumulation=accumulation)
    parts.stop_after = None
    _, resumed = train_rivals(tmp_path / "parts", parts, gradient_accumulation=accumulation)
    assert parts.lines == whole.lines
    assert all(torch.equal(resumed[name], expected[name]) for name in expected)


def test_a_player_that_joins_later_is_left_alone_until_then(tmp_path: Path) -> None:
    recorder = Recorder()
    before, _ = train_rivals(tmp_path / "before", recorder, steps=4)
    assert before.seen == 0
    assert torch.equal(before.rival.weight, Rivals().rival.weight)
    assert not any("rival_loss" in line for line in recorder.lines)
    after, _ = train_rivals(tmp_path / "after", recorder, steps=5)
    assert after.seen == 1
    assert not torch.equal(after.rival.weight, Rivals().rival.weight)
    assert {"loss", "grad_norm", "rival_loss", "rival_grad_norm"} <= set(recorder.lines[-1])


def test_a_players_learning_rate_starts_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def rate(update: int, total: int, config: OptimisationConfig) -> float:
        asked.append((config.learning_rate, update, total))
        return learning_rate(update, total, config)

    monkeypatch.setattr(loop, "learning_rate", rate)
    own = OptimisationConfig(learning_rate=5e-3, end_learning_rate=1e-3)
    train_rivals(tmp_path, Recorder(), players={"rival": own})
    assert [entry for entry in asked if entry[0] == 5e-3] == [(5e-3, update, 6) for update in range(6)]


def test_each_player_has_the_optimisation_of_its_name(tmp_path: Path) -> None:
    slow = OptimisationConfig(learning_rate=1e-9, end_learning_rate=0.0, weight_decay=0.0)
    stage, _ = train_rivals(tmp_path, Recorder(), players={"rival": slow})
    torch.testing.assert_close(stage.rival.weight, Rivals().rival.weight, rtol=0, atol=1e-7)
    assert not torch.equal(stage.trained[0].weight, NoisyRegression().trained[0].weight)


def test_an_unknown_player_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown player 'rivals'; did you mean 'rival'\?"):
        train_rivals(tmp_path, Recorder(), players={"rivals": OptimisationConfig()})


class Plain(Stage):
    """Without noise and batch norm: its gradient is the mean of its images' gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.trained = nn.Linear(3, 1)
        self.trained.weight.data.copy_(torch.tensor([[0.3, -0.2, 0.1]]))
        self.trained.bias.data.zero_()
        self.computed_in: set[torch.dtype] = set()

    def losses(self, player: str, step: Step) -> Losses:
        predicted = self.trained(step.batch.images.mean((2, 3)))
        self.computed_in.add(predicted.dtype)
        # In float32, as every real loss is: the first scale of fp16 is itself no number of fp16.
        return {"loss": (predicted.float() - 1).square().mean()}


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


class Faint(Plain):
    """Small enough for the first scale of fp16, but for one step whose gradient overflows."""

    def __init__(self, overflow_at: int | None = None) -> None:
        super().__init__()
        self.overflow_at = overflow_at

    def losses(self, player: str, step: Step) -> Losses:
        factor = float("inf") if step.index == self.overflow_at else 0.01
        return {"loss": factor * super().losses(player, step)["loss"]}


def train_at(precision: str, stage: Stage, folder: Path, monitor: Recorder, steps: int = 6) -> Stage:
    folder.mkdir(exist_ok=True)
    config = CONFIG.model_copy(update={"precision": precision})
    train(stage, batches, steps, config, seed=1, folder=folder, monitor=monitor)
    return stage


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_learns_what_float32_learns(
    tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    exact = train_at("fp32", Faint(), tmp_path / "fp32", Recorder())
    half = train_at(precision, Faint(), tmp_path / precision, Recorder())
    assert (exact.computed_in, half.computed_in) == ({torch.float32}, {dtype})
    assert half.trained.weight.dtype == torch.float32
    torch.testing.assert_close(half.trained.weight, exact.trained.weight, rtol=0.02, atol=2e-3)


def test_an_update_that_overflows_in_fp16_is_skipped_and_the_scale_halved(tmp_path: Path) -> None:
    class Watching(Recorder):
        def progress(self, done: int, total: int) -> None:
            super().progress(done, total)
            weights.append(stage.trained.weight.detach().clone())

    recorder, stage = Watching(), Faint(overflow_at=2)
    weights = [stage.trained.weight.detach().clone()]
    train_at("fp16", stage, tmp_path, recorder)
    assert [line["loss_scale"] for line in recorder.lines] == [2.0**16] * 2 + [2.0**15] * 4
    moved = [not torch.equal(before, after) for before, after in pairwise(weights)]
    assert moved == [True, True, False, True, True, True]
    assert "grad_norm" not in recorder.lines[2]
    assert [line["step"] for line in recorder.lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("stop_after", [2, 3, 5])
def test_fp16_resumes_bit_for_bit_with_its_scale(tmp_path: Path, stop_after: int) -> None:
    whole, parts = Recorder(), Recorder(stop_after)
    expected = train_at("fp16", Faint(overflow_at=2), tmp_path / "whole", whole)
    with pytest.raises(TrainingInterrupted):
        train_at("fp16", Faint(overflow_at=2), tmp_path / "parts", parts)
    parts.stop_after = None
    resumed = train_at("fp16", Faint(overflow_at=2), tmp_path / "parts", parts)
    assert parts.lines == whole.lines
    assert torch.equal(resumed.trained.weight, expected.trained.weight)


def test_what_no_scale_can_mend_is_a_divergence(tmp_path: Path) -> None:
    class Broken(Plain):
        def losses(self, player: str, step: Step) -> Losses:
            return {"loss": super().losses(player, step)["loss"] * float("nan")}

    recorder = Recorder()
    with pytest.raises(TrainingDiverged, match="not finite at step 17"):
        train_at("fp16", Broken(), tmp_path, recorder, steps=40)
    assert recorder.lines[-1]["loss_scale"] == 1.0
