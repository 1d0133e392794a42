"""A training of a moment, for the tests of this folder: its configuration, data, monitor and stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import small_models
import torch
import torch.nn.functional as F
from small_models import seeded
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sftok.data.batches import Batch
from sftok.device import CPU
from sftok.models.dino import DinoDiscriminator, DinoDiscriminatorConfig
from sftok.tokenizers.sftok import SFTok, SFTokConfig
from sftok.training.compiling import CompileMode
from sftok.training.interruption import TrainingInterrupted
from sftok.training.loop import BatchSource, TrainingConfig, train
from sftok.training.optimizer import OptimizerConfig
from sftok.training.stages.base import Losses, Stage, Step
from sftok.training.stages.fine_tuning import FineTuningConfig, FineTuningStage
from sftok.training.stages.tokenizer import AlignmentStage, TokenizerLossConfig, WarmUpStage

CONFIG = TrainingConfig(
    batch_size=4,
    checkpoint_every=3,
    log_every=1,
    optimizer=OptimizerConfig(learning_rate=1e-2, end_learning_rate=1e-3, warmup_steps=2),
)


class Recorder:
    """A monitor that keeps the curve, and stops or kills the training after some updates."""

    def __init__(self, stop_after: int | None = None, kill_at: int | None = None):
        self.lines: list[dict[str, Any]] = []
        self.resumed_at: int | None = None
        self.done = 0
        self.prepared: str | None = None
        self.stop_after, self.kill_at = stop_after, kill_at

    def progress(self, done: int, total: int) -> None:
        self.done = done
        if done == self.kill_at:
            raise KeyboardInterrupt

    def record(self, values: dict[str, Any]) -> None:
        self.lines.append(values)

    def resumed(self, step: int) -> None:
        self.resumed_at = step
        self.lines = [line for line in self.lines if line["step"] <= step]

    def preparing(self, what: str) -> None:
        self.prepared = what

    def should_stop(self) -> bool:
        return self.stop_after is not None and self.done >= self.stop_after


def batch_of(images: torch.Tensor) -> Batch:
    count = len(images)
    return Batch(images=images, labels=torch.zeros(count, dtype=torch.long), indices=torch.arange(count))


def batches(start: int) -> Iterator[Batch]:
    for index in range(start, 1000):
        yield batch_of(torch.rand(4, 3, 2, 2, generator=seeded(index)))


S = TypeVar("S", bound=Stage)


def run(
    stage: S,
    folder: Path,
    monitor: Recorder | None = None,
    steps: int = 10,
    source: BatchSource = batches,
    config: TrainingConfig = CONFIG,
    device: torch.device = CPU,
    compile: CompileMode = "none",
    **changes: Any,
) -> S:
    """Train `stage` in `folder` under `config` with `changes`, and return it."""
    folder.mkdir(exist_ok=True)
    config = config.model_copy(update=changes)
    monitor = monitor or Recorder()
    where = {"folder": folder, "monitor": monitor, "device": device, "compile": compile}
    train(stage, source, steps, config, seed=1, **where)
    return stage


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    expected = other.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in one.state_dict().items())


def assert_resumes(
    make: Callable[[], S],
    folder: Path,
    stop_after: int | None = None,
    steps: int = 10,
    kill_at: int | None = None,
    **options: Any,
) -> S:
    """A training that is stopped, or killed, and resumed has the curve and the bits of one that is not."""
    whole, parts = Recorder(), Recorder(stop_after, kill_at)
    expected = run(make(), folder / "whole", whole, steps, **options)
    if kill_at is None:
        error, message, resumes_at = TrainingInterrupted, f"after {stop_after} of {steps}", stop_after
    else:
        error, message, resumes_at = KeyboardInterrupt, None, kill_at - kill_at % CONFIG.checkpoint_every
    with pytest.raises(error, match=message):
        run(make(), folder / "parts", parts, steps, **options)
    parts.stop_after = parts.kill_at = None
    resumed = run(make(), folder / "parts", parts, steps, **options)
    assert parts.resumed_at == resumes_at
    assert parts.lines == whole.lines
    assert_same_bits(resumed, expected)
    return resumed


class NoisyRegression(Stage):
    """A small network with a random draw in its loss and a buffer, as real stages have."""

    def __init__(self) -> None:
        super().__init__()
        generator = seeded()
        self.trained = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        for parameter in self.trained.parameters():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator))

    def losses(self, optimizer: str, step: Step) -> Losses:
        noise = torch.randn(step.batch.images.shape[0], 1, generator=step.generator)
        return {"loss": (self.trained(step.batch.images.mean((2, 3))) - noise).square().mean()}


class Plain(Stage):
    """Without noise and batch norm: its gradient is the mean of its images' gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.trained = nn.Linear(3, 1)
        self.trained.weight.data.copy_(torch.tensor([[0.3, -0.2, 0.1]]))
        self.trained.bias.data.zero_()
        self.computed_in: set[torch.dtype] = set()

    def losses(self, optimizer: str, step: Step) -> Losses:
        predicted = self.trained(step.batch.images.mean((2, 3)))
        self.computed_in.add(predicted.dtype)
        # In float32, as every real loss is: the first scale of fp16 cannot be represented in fp16.
        return {"loss": (predicted.float() - 1).square().mean()}


def tokenizer_stage(
    kind: Callable[..., WarmUpStage | AlignmentStage],
    codes: Callable[[Batch], torch.Tensor],
    *more: Any,
    model: SFTokConfig | None = None,
    **losses: float,
) -> WarmUpStage | AlignmentStage:
    """Stage 1 or 2 of the small tokenizer, or of that of `model`."""
    tokenizer = SFTok.from_config(model or small_models.sftok_config())
    parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder)
    return kind(*parts, codes, TokenizerLossConfig(**losses), *more).train()


def blurred(reconstructions: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Takes the place of a perceptual loss."""
    return (F.avg_pool2d(reconstructions, 4) - F.avg_pool2d(images, 4)).square().mean()


def fine_tuning_stage(
    kind: type[FineTuningStage] = FineTuningStage,
    wrap: Callable[[nn.Module], nn.Module] = lambda quantizer: quantizer,
    seen_pixels: int = 16,
    norm_batch: int = 8,
    **config: Any,
) -> tuple[SFTok, FineTuningStage]:
    """Stage 3 of the small tokenizer, whose discriminator sees crops of `seen_pixels`, and the tokenizer."""
    tokenizer = SFTok.from_config(small_models.sftok_config())
    shape = {"img_size": seen_pixels, "patch_size": 4, "embed_dim": 12, "depth": 2, "num_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = VisionTransformer(**shape, num_classes=0)
    options = DinoDiscriminatorConfig(depths=(1,), kernel_size=3, norm_batch=norm_batch)
    parts = (tokenizer.encoder, wrap(tokenizer.quantizer), tokenizer.decoder, tokenizer.pixel_decoder)
    stage = kind(*parts, blurred, DinoDiscriminator(options, vit), FineTuningConfig(**config))  # type: ignore[arg-type]
    return tokenizer, stage.train()
