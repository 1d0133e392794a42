"""One process of a parallel training: `parallel_worker.py STAGE FOLDER STEPS [KILL_AT]`.

Reads RANK and WORLD_SIZE as torchrun sets them, trains a tiny stage on images that depend on the step alone,
and as the first process writes the curve to `FOLDER/curve.json`. At update KILL_AT the first process kills
itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import small_models
import torch
import torch.nn.functional as F
from small_models import image_set, seeded
from small_training import Recorder, fine_tuning_stage, tokenizer_stage
from torch import nn

from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch, training_batches
from sftok.device import open_device
from sftok.distributed import SINGLE, World, joined
from sftok.generators.base import GeneratorLossConfig
from sftok.generators.maskgit import MaskGITGenerator
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.quantizers.tail_drop import TailDrop
from sftok.training.contexts.prediction import PredictionConfig
from sftok.training.loop import TrainingConfig, train
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Stage
from sftok.training.stages.generator import GeneratorStage
from sftok.training.stages.teacher import TeacherStage
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage, WarmUpStage

LEARNING = TrainingConfig(
    batch_size=8,
    gradient_accumulation=2,
    checkpoint_every=3,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-3, end_learning_rate=1e-4, warmup_steps=2),
)


def images() -> MemoryImageSet:
    small = image_set(40, 4, seed=3)
    large = F.interpolate(small.pixels.float(), 16, mode="bilinear").to(torch.uint8)
    return dataclasses.replace(small, pixels=large)


def batches(first: int, world: World = SINGLE) -> Iterator[Batch]:
    return training_batches(images(), LEARNING.batch_size, 7, first, world=world)


def codes(batch: Batch) -> torch.Tensor:
    return torch.randint(24, (40, 16), generator=seeded(4))[batch.indices].to(batch.images.device)


def fine_tuning(wrap: Callable[[nn.Module], nn.Module] = lambda quantizer: quantizer) -> Stage:
    # The discriminator sees random crops; a heavy LeCam, which compares means over the whole batch.
    weights = {"discriminator_start": 2, "lecam_weight": 1.0, "lecam_decay": 0.5}
    return fine_tuning_stage(wrap=wrap, seen_pixels=12, norm_batch=2, **weights)[1]


def generator() -> Stage:
    model = MaskGITGenerator.from_config(small_models.generator_record(16, 24, 2))
    return GeneratorStage(model, codes, GeneratorLossConfig(class_drop=0.4))


def alignment(replacement_ratio: float) -> Stage:
    context = PredictionConfig(replacement_ratio=replacement_ratio)
    return tokenizer_stage(AlignmentStage, codes, AlignmentConfig(context=context), label_smoothing=0.1)


STAGES: dict[str, Callable[[], Stage]] = {
    "teacher": lambda: TeacherStage(MaskGITVQGAN.from_config(small_models.TEACHER)),
    "warm-up": lambda: tokenizer_stage(WarmUpStage, codes, label_smoothing=0.1),
    "alignment": lambda: alignment(1.0),
    "half-replaced": lambda: alignment(0.5),
    "fine-tuning": fine_tuning,
    "fine-tuning-of-tails": lambda: fine_tuning(TailDrop),
    "generator": generator,
}


class Curve(Recorder):
    """Keeps the curve as the harness does, in a file that survives its process."""

    def __init__(self, path: Path, kill_at: int | None):
        super().__init__(kill_at=kill_at)
        self.path = path

    def progress(self, done: int, total: int) -> None:
        if done == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def record(self, values: dict[str, Any]) -> None:
        super().record(values)
        self.path.write_text(json.dumps(self.lines))

    def resumed(self, step: int) -> None:
        self.lines = json.loads(self.path.read_text())[:step] if step else []


def main(name: str, folder: Path, steps: int, kill_at: int | None) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    device_name = os.environ.get("WORKER_DEVICE", "cpu")
    with joined(device_name) as world:
        device = open_device(device_name, local_rank=world.local_rank)  # type: ignore[arg-type]
        source = partial(batches, world=world)
        for stage_name in STAGES if name == "all" else [name]:
            place = folder / stage_name
            place.mkdir(parents=True, exist_ok=True)
            curve = Curve(place / "curve.json", kill_at)
            stage = STAGES[stage_name]()
            where = {"folder": place, "monitor": curve, "device": device, "world": world}
            train(stage, source, steps, LEARNING, seed=1, **where)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None)
