"""Two players in one training: the loop referees them and resumes both bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import CONFIG, NoisyRegression, Recorder, batches
from torch import nn

from sftok.config import ConfigError
from sftok.training import loop
from sftok.training.loop import TrainingInterrupted, train
from sftok.training.optimisation import OptimisationConfig, learning_rate
from sftok.training.stages.base import Losses, Stage, Step


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
