"""Every stage trains in every number format, and resumes bit for bit on the same device."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from every_stage import EVERY_STAGE
from parallel_worker import LEARNING, batches, images
from small_models import TEACHER
from small_training import Recorder, assert_resumes, run, tokenizer_stage

from sftok.data.tokens import TokensOnTheFly
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.training.stages.base import Step
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage

pytestmark = pytest.mark.gpu

STEPS, STOPPED_AFTER = 20, 13
FORMATS = ("fp32", "tf32", "bf16", "fp16")


def cases() -> list[Any]:
    cheap = {("alignment", "bf16"), ("fine-tuning", "fp32"), ("generator", "fp16")}
    return [
        pytest.param(stage, precision, marks=[pytest.mark.stand_in] * ((stage, precision) in cheap))
        for stage in EVERY_STAGE
        for precision in FORMATS
    ]


@pytest.mark.parametrize(("stage", "precision"), cases())
def test_a_stage_trains_and_resumes_bit_for_bit(
    tmp_path: Path, opened: Callable[..., torch.device], stage: str, precision: str
) -> None:
    device = opened(tf32=precision == "tf32")
    number_format = "fp32" if precision == "tf32" else precision
    config = LEARNING.model_copy(update={"precision": number_format})
    trained = assert_resumes(
        EVERY_STAGE[stage], tmp_path, STOPPED_AFTER, STEPS, source=batches, config=config, device=device
    )
    weights = trained.trained.state_dict().values()
    assert {weight.device.type for weight in weights} == {device.type}
    assert all(weight.isfinite().all() for weight in weights)


@pytest.mark.parametrize("precision", FORMATS[1:])
def test_half_precision_and_tf32_learn_what_float32_learns(
    tmp_path: Path, opened: Callable[..., torch.device], precision: str
) -> None:
    curves = []
    for each in ("fp32", precision):
        device, recorder = opened(tf32=each == "tf32"), Recorder()
        config = LEARNING.model_copy(update={"precision": each.replace("tf32", "fp32")})
        run(EVERY_STAGE["warm-up"](), tmp_path / each, recorder, STEPS, batches, config, device)
        curves.append([line["loss"] for line in recorder.lines])
    exact, found = curves
    assert found == pytest.approx(exact, rel=0.05)


def test_codes_that_a_teacher_computes_ahead_are_those_of_the_batch(
    tmp_path: Path, device: torch.device
) -> None:
    teacher = MaskGITVQGAN.from_config(TEACHER).to(device).eval()
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    class Checking(AlignmentStage):
        def losses(self, optimizer: str, step: Step) -> dict[str, torch.Tensor]:
            seen.append((step.shared["codes"].cpu(), step.batch.indices))
            return super().losses(optimizer, step)

    stage = tokenizer_stage(Checking, TokensOnTheFly(teacher), AlignmentConfig())
    run(stage, tmp_path, steps=6, source=batches, config=LEARNING, device=device)
    assert len(seen) == 6 * LEARNING.gradient_accumulation
    pixels = images().pixels / 255
    for codes, indices in seen:
        assert torch.equal(codes, teacher.encode(pixels[indices].to(device)).cpu())


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["alignment", "generator", "llamagen"])
def test_a_compiled_stage_learns_the_same_under_the_same_names(
    tmp_path: Path, device: torch.device, stage: str
) -> None:
    curves, names = [], []
    for mode in ("none", "default"):
        recorder, trained = Recorder(), EVERY_STAGE[stage]()
        run(trained, tmp_path / mode, recorder, 5, batches, LEARNING, device, compile=mode)  # type: ignore[arg-type]
        curves.append([line["loss"] for line in recorder.lines])
        names.append(list(trained.trained.state_dict()))
    assert curves[1] == pytest.approx(curves[0], rel=1e-3)
    assert names[1] == names[0]
    assert recorder.prepared == "compiling"


@pytest.mark.stand_in
def test_the_weights_move_at_every_step(tmp_path: Path, device: torch.device) -> None:
    stage, seen = EVERY_STAGE["warm-up"](), []

    class Watching(Recorder):
        def progress(self, done: int, total: int) -> None:
            super().progress(done, total)
            seen.append(torch.cat([each.detach().cpu().flatten() for each in stage.trained.parameters()]))

    run(stage, tmp_path, Watching(), 5, batches, LEARNING, device)
    assert all(not torch.equal(before, after) for before, after in pairwise(seen))
