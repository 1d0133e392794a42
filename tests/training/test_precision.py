"""Half precision in the training loop: it is used, and its loss scale is mended, kept and given up."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, Plain, Recorder, batches

from sftok.training.loop import TrainingDiverged, TrainingInterrupted, train
from sftok.training.stages.base import Losses, Stage, Step


class Faint(Plain):
    """Small enough for the first scale of fp16, but for one step whose gradient overflows."""

    def __init__(self, overflow_at: int | None = None) -> None:
        super().__init__()
        self.overflow_at = overflow_at

    def losses(self, optimizer: str, step: Step) -> Losses:
        factor = float("inf") if step.index == self.overflow_at else 0.01
        return {"loss": factor * super().losses(optimizer, step)["loss"]}


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
        def losses(self, optimizer: str, step: Step) -> Losses:
            return {"loss": super().losses(optimizer, step)["loss"] * float("nan")}

    recorder = Recorder()
    with pytest.raises(TrainingDiverged, match="not finite at step 17"):
        train_at("fp16", Broken(), tmp_path, recorder, steps=40)
    assert recorder.lines[-1]["loss_scale"] == 1.0
