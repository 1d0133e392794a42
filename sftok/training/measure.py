"""How long a training step takes and how much memory, at the paper's sizes, on this machine.

    python -m sftok.training.measure sftok-b --batch-size 2 --steps 3

runs one forward pass (encode, and decode in one step) and then stage 2 through the training loop, on noise;
it prints one line of JSON. Nothing is written.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import torch

from sftok.data.batches import Batch
from sftok.decoding.schedule import DecodingConfig
from sftok.device import DeviceName, open_device
from sftok.models.tokenizer import SIZES, SFTok, SFTokConfig
from sftok.training.loop import TrainingConfig, train
from sftok.training.precision import Precision
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage, TokenizerLossConfig


class _Enough(Exception):
    """The asked-for steps are done."""


class _Stopwatch:
    """A monitor that notes when each step ends and leaves the loop before it would write a checkpoint."""

    def __init__(self, steps: int):
        self.steps = steps
        self.ends = [time.perf_counter()]

    def progress(self, done: int, total: int) -> None:
        self.ends.append(time.perf_counter())
        if done == self.steps:
            raise _Enough

    def record(self, values: dict[str, Any]) -> None: ...

    def resumed(self, step: int) -> None: ...

    def should_stop(self) -> bool:
        return False

    def seconds(self) -> float:
        """The median step, without the first one (it allocates) if there are others."""
        taken = [end - start for start, end in pairwise(self.ends)]
        return statistics.median(taken[1:] or taken)


def measure(
    config: SFTokConfig, batch_size: int, steps: int, device: torch.device, precision: Precision
) -> dict[str, Any]:
    """Seconds of a forward pass and of a stage-2 step, parameters, and the peak of memory in bytes."""
    tokenizer = SFTok.from_config(config).to(device).eval()
    side, shape = config.encoder.image_size, (batch_size, config.decoder.num_codes)
    draws = torch.Generator().manual_seed(0)
    images = torch.rand(batch_size, 3, side, side, generator=draws)
    codes = torch.randint(config.decoder.vocabulary, shape, generator=draws)
    batch = Batch(images, labels=torch.zeros(batch_size).long(), indices=torch.arange(batch_size))

    started = time.perf_counter()
    tokenizer.reconstruct(images.to(device), DecodingConfig(steps=1, temperature=0.0))
    forward = time.perf_counter() - started

    def batches(start: int) -> Iterator[Batch]:
        while True:
            yield batch

    parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder)
    stage = AlignmentStage(*parts, lambda batch: codes, TokenizerLossConfig(), AlignmentConfig())
    training = TrainingConfig(batch_size=batch_size, precision=precision, log_every=1)
    stopwatch = _Stopwatch(steps)
    with tempfile.TemporaryDirectory() as empty, contextlib.suppress(_Enough):
        folder = Path(empty)
        train(stage, batches, steps + 1, training, seed=0, folder=folder, monitor=stopwatch, device=device)
    return {
        "parameters": sum(parameter.numel() for parameter in stage.trained.parameters()),
        "forward_seconds": round(forward, 3),
        "step_seconds": round(stopwatch.seconds(), 3),
        "peak_bytes": _peak(device),
    }


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main(arguments: list[str] | None = None) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m sftok.training.measure", description="Time a step.")
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", choices=get_args(DeviceName), default="cpu")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = open_device(options.device)
    found = measure(SIZES[options.size], options.batch_size, options.steps, device, options.precision)
    print(json.dumps({**vars(options), **found}))


if __name__ == "__main__":
    main()
