"""Measures time and memory of a training step at the paper's sizes on this machine.

    python -m sftok.training.measure sftok-b --batch-size 2 --steps 3

runs one forward pass (encoding, and decoding in one step), then stage 2 (or, with `--stage 3`, stage 3
against networks with random weights) through the training loop on noise, and prints one line of JSON.

`cpu_seconds` is the processor time of this process, which is not affected by other work on the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import sys
import tempfile
import time
import warnings
from itertools import repeat
from pathlib import Path
from typing import Any, cast, get_args

import lpips
import numpy as np
import timm
import torch
from torch import nn

from sftok.data.batches import Batch
from sftok.decoding.schedule import DecodingConfig
from sftok.device import DeviceName, open_device
from sftok.losses.lpips import LpipsLoss
from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.tokenizers.sftok import SIZES, SFTok, SFTokConfig
from sftok.training.loop import TrainingConfig, train
from sftok.training.precision import Precision
from sftok.training.stages.base import Stage
from sftok.training.stages.fine_tuning import FineTuningConfig, FineTuningStage
from sftok.training.stages.tokenizer import (
    AlignmentConfig,
    AlignmentStage,
    TeacherCodes,
    TokenizerLossConfig,
)


class Enough(Exception):
    """The requested steps are done."""


class Stopwatch:
    """A monitor that records when each step ends, and stops the loop before it writes a checkpoint."""

    def __init__(self, steps: int):
        self.steps = steps
        self.ends = [_now()]

    def progress(self, done: int, total: int) -> None:
        """Record the time; raises `Enough` after the last step."""
        self.ends.append(_now())
        if done == self.steps:
            raise Enough

    def record(self, values: dict[str, Any]) -> None:
        """Do nothing."""

    def resumed(self, step: int) -> None:
        """Do nothing."""

    def preparing(self, what: str) -> None:
        """Do nothing."""

    def should_stop(self) -> bool:
        """Return False."""
        return False

    def median(self) -> np.ndarray:
        """Median wall-clock and processor seconds of a step; omits the first (it allocates) if possible."""
        steps = np.diff(self.ends, axis=0)
        return np.median(steps[1:] if len(steps) > 1 else steps, axis=0)


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def measure(
    config: SFTokConfig,
    batch_size: int,
    steps: int,
    device: torch.device,
    precision: Precision,
    stage_number: int = 2,
) -> dict[str, Any]:
    """Measure seconds of a forward pass and of a step of stage 2 or 3, trained parameters, peak memory."""
    tokenizer = SFTok.from_config(config).to(device).eval()
    side, shape = config.image_size, (batch_size, tokenizer.decoder.num_codes)
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(batch_size, 3, side, side, generator=draws)
    codes = torch.randint(tokenizer.decoder.vocabulary, shape, generator=draws)
    batch = Batch(images, labels=torch.zeros(batch_size).long(), indices=torch.arange(batch_size))

    def reconstruct() -> None:
        tokenizer.reconstruct(images.to(device), DecodingConfig(steps=1, temperature=0.0))
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    if device.type == "cuda":
        reconstruct()  # the first call loads kernels
    started = _now()
    reconstruct()
    forward = _now() - started
    stage = stage_of(stage_number, tokenizer, lambda batch: codes)
    training = TrainingConfig(batch_size=batch_size, precision=precision, log_every=1)
    stopwatch = Stopwatch(steps)
    with tempfile.TemporaryDirectory() as empty, contextlib.suppress(Enough):
        source, folder = (lambda first: repeat(batch)), Path(empty)
        train(stage, source, steps + 1, training, seed=0, folder=folder, monitor=stopwatch, device=device)
    step = stopwatch.median()
    return {
        "parameters": sum(parameter.numel() for parameter in stage.trained.parameters()),
        "forward_seconds": round(forward[0], 3),
        "forward_cpu_seconds": round(forward[1], 3),
        "step_seconds": round(step[0], 3),
        "step_cpu_seconds": round(step[1], 3),
        "peak_bytes": _peak(device),
    }


def stage_of(number: int, tokenizer: SFTok, codes: TeacherCodes) -> Stage:
    """Build stage 2, with `codes`, or stage 3 against networks with random weights."""
    if number == 2:
        parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder)
        return AlignmentStage(*parts, codes, TokenizerLossConfig(), AlignmentConfig())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the package uses torchvision's interface of 2022
        vgg = lpips.LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    dino = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0)
    return FineTuningStage(
        tokenizer.encoder,
        cast(nn.Module, tokenizer.quantizer),
        tokenizer.decoder,
        tokenizer.pixel_decoder,
        LpipsLoss(vgg),
        DinoDiscriminator(DinoDiscriminatorConfig(), dino),
        # The discriminator runs from the first step, as in all but the first 20,000 steps.
        FineTuningConfig(discriminator_start=0),
    )


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(arguments: list[str] | None = None) -> None:
    """Measure the size given on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sftok.training.measure",
        description="Time a training step.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("size", choices=SIZES, help="size of the tokenizer")
    parser.add_argument("--stage", type=int, choices=(2, 3), default=2, help="stage of the training")
    parser.add_argument("--batch-size", type=int, default=2, help="images per step")
    parser.add_argument(
        "--steps", type=int, default=3, help="number of steps; the first is not timed, if there are more"
    )
    parser.add_argument("--device", choices=get_args(DeviceName), default="cpu", help="where it runs")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32", help="of the networks")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = open_device(options.device)
    size = SIZES[options.size]
    found = measure(size, options.batch_size, options.steps, device, options.precision, options.stage)
    print(json.dumps({**vars(options), **found}))


if __name__ == "__main__":
    main()
