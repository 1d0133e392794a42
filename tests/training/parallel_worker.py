"""One process of a parallel training: `parallel_worker.py STAGE FOLDER STEPS [KILL_AT]`.

Reads RANK and WORLD_SIZE as torchrun sets them, trains a tiny stage on images that depend on the step alone,
and as the first process writes the curve to `FOLDER/curve.json`. At update KILL_AT the first process kills
itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import small_models
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer

from sftok.data.base import MemoryImageSet
from sftok.data.batches import Batch, training_batches
from sftok.distributed import joined
from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.models.generator import MaskGITGenerator
from sftok.models.tokenizer import SFTok
from sftok.quantizers.tail_drop import TailDrop
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.training.contexts.prediction import PredictionConfig
from sftok.training.loop import TrainingConfig, train
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Stage
from sftok.training.stages.fine_tuning import FineTuningConfig, FineTuningStage
from sftok.training.stages.generator import GeneratorLossConfig, GeneratorStage
from sftok.training.stages.teacher import TeacherStage
from sftok.training.stages.tokenizer import (
    AlignmentConfig,
    AlignmentStage,
    TokenizerLossConfig,
    WarmUpStage,
)

LEARNING = TrainingConfig(
    batch_size=8,
    gradient_accumulation=2,
    checkpoint_every=3,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-3, end_learning_rate=1e-4, warmup_steps=2),
)


def images() -> MemoryImageSet:
    pixels = torch.randint(256, (40, 3, 4, 4), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    large = F.interpolate(pixels.float(), 16, mode="bilinear").to(torch.uint8)
    return MemoryImageSet("noise", ("a", "b"), large, torch.arange(40) % 2)


def codes(batch: Batch) -> torch.Tensor:
    return torch.randint(24, (40, 16), generator=torch.Generator().manual_seed(4))[batch.indices]


def tokenizer_stage(make: Callable[..., Stage], *more: Any) -> Stage:
    tokenizer = SFTok.from_config(small_models.sftok_config())
    parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder)
    return make(*parts, codes, TokenizerLossConfig(label_smoothing=0.1), *more)


def fine_tuning(drop_tails: bool = False) -> Stage:
    tokenizer = SFTok.from_config(small_models.sftok_config())
    torch.manual_seed(0)
    # Smaller than the images, so that it sees random crops of them.
    vit = VisionTransformer(img_size=12, patch_size=4, embed_dim=12, depth=2, num_heads=2, num_classes=0)
    heads = DinoDiscriminator(DinoDiscriminatorConfig(depths=(1,), kernel_size=3, norm_batch=2), vit)

    def distance(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return (F.avg_pool2d(left, 4) - F.avg_pool2d(right, 4)).square().mean()

    quantizer = TailDrop(tokenizer.quantizer) if drop_tails else tokenizer.quantizer
    parts = (tokenizer.encoder, quantizer, tokenizer.decoder, tokenizer.pixel_decoder)
    # A heavy LeCam, which compares means over the whole batch.
    config = FineTuningConfig(discriminator_start=2, lecam_weight=1.0, lecam_decay=0.5)
    return FineTuningStage(*parts, distance, heads, config)  # type: ignore[arg-type]


def generator() -> Stage:
    model = MaskGITGenerator.from_config(small_models.generator_record(16, 24, 2))
    return GeneratorStage(model, codes, GeneratorLossConfig(class_drop=0.4))


STAGES: dict[str, Callable[[], Stage]] = {
    "teacher": lambda: TeacherStage(MaskGITVQGAN.from_config(small_models.TEACHER)),
    "warm-up": lambda: tokenizer_stage(WarmUpStage),
    "alignment": lambda: tokenizer_stage(AlignmentStage, AlignmentConfig()),
    "half-replaced": lambda: tokenizer_stage(
        AlignmentStage, AlignmentConfig(context=PredictionConfig(replacement_ratio=0.5))
    ),
    "fine-tuning": fine_tuning,
    "fine-tuning-of-tails": lambda: fine_tuning(drop_tails=True),
    "generator": generator,
}


class Curve:
    """Keeps the curve as the harness does, in a file that survives its process."""

    def __init__(self, path: Path, kill_at: int | None):
        self.path, self.kill_at = path, kill_at
        self.lines: list[dict[str, Any]] = []

    def progress(self, done: int, total: int) -> None:
        if done == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def record(self, values: dict[str, Any]) -> None:
        self.lines.append(values)
        self.path.write_text(json.dumps(self.lines))

    def resumed(self, step: int) -> None:
        self.lines = json.loads(self.path.read_text())[:step] if step else []

    def should_stop(self) -> bool:
        return False


def main(name: str, folder: Path, steps: int, kill_at: int | None) -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    with joined("cpu") as world:

        def batches(start: int) -> Iterator[Batch]:
            return training_batches(images(), LEARNING.batch_size, 7, start, world=world)

        for stage_name in STAGES if name == "all" else [name]:
            place = folder / stage_name
            place.mkdir(parents=True, exist_ok=True)
            curve = Curve(place / "curve.json", kill_at)
            stage = STAGES[stage_name]()
            train(stage, batches, steps, LEARNING, seed=1, folder=place, monitor=curve, world=world)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None)
