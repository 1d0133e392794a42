"""Half precision in the training loop: it is used, and its loss scale is lowered, resumed and given up."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from small_training import Plain, Recorder, assert_resumes, run

from sftok.training.loop import TrainingDiverged
from sftok.training.stages.base import Losses, Step


class Faint(Plain):
    """Small enough for the first scale of fp16, except for one step whose gradient overflows."""

    def __init__(self, overflow_at: int | None = None, factor: float = 0.01) -> None:
        super().__init__()
        self.overflow_at, self.factor = overflow_at, factor

    def losses(self, optimizer: str, step: Step) -> Losses:
        factor = float("inf") if step.index == self.overflow_at else self.factor
        return {"loss": factor * super().losses(optimizer, step)["loss"]}


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_half_precision_learns_what_float32_learns(
    tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    exact = run(Faint(), tmp_path / "fp32", steps=6)
    half = run(Faint(), tmp_path / precision, steps=6, precision=precision)
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
    run(stage, tmp_path, recorder, steps=6, precision="fp16")
    assert [line["loss_scale"] for line in recorder.lines] == [2.0**16] * 2 + [2.0**15] * 4
    moved = [not torch.equal(before, after) for before, after in pairwise(weights)]
    assert moved == [True, True, False, True, True, True]
    assert "grad_norm" not in recorder.lines[2]
    assert [line["step"] for line in recorder.lines] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("stop_after", [2, 3, 5])
def test_fp16_resumes_bit_for_bit_with_its_scale(tmp_path: Path, stop_after: int) -> None:
    assert_resumes(partial(Faint, overflow_at=2), tmp_path, stop_after, steps=6, precision="fp16")


def test_a_gradient_that_no_scale_makes_finite_is_a_divergence(tmp_path: Path) -> None:
    recorder = Recorder()
    with pytest.raises(TrainingDiverged, match="not finite at step 17"):
        run(Faint(factor=float("nan")), tmp_path, recorder, steps=40, precision="fp16")
    assert recorder.lines[-1]["loss_scale"] == 1.0
