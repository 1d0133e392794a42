"""Two optimizers in one training: the loop updates both and resumes both bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import NoisyRegression, Recorder, assert_resumes, run
from torch import nn

from sftok.config import ConfigError
from sftok.training import loop
from sftok.training.optimizer import OptimizerConfig, learning_rate
from sftok.training.stages.base import Losses, Stage, Step


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
