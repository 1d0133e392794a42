"""The rows of training: stages 2 and 3 through the training loop, and the optimizer alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import torch
from every_stage import vgg_and_dino
from gpu_bench import Bench, Operations, step_operations, trained
from small_models import seeded
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sftok.data.tokens import TokensOnTheFly
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.training.measure import stage_of
from sftok.training.optimizer import OptimizerConfig, adamw
from sftok.training.stages.base import Stage
from sftok.training.stages.fine_tuning import FineTuningStage

BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


class Alignment:
    """Stage 2 of a size, with codes that are there already or with the teacher."""

    def __init__(self, bench: Bench, size: str) -> None:
        self.bench, self.item = bench, f"stage 2, {size}"
        self.tokenizer = bench.tokenizer(size)
        self.batch = bench.batch(self.tokenizer.image_size)
        shape = (len(self.batch.indices), self.tokenizer.decoder.num_codes)
        codes = torch.randint(self.tokenizer.decoder.vocabulary, shape, generator=seeded())
        self.codes = codes.to(bench.device)
        self.operations = self.counted(self.stage())

    def stage(self, teacher: MaskGITVQGAN | None = None) -> Stage:
        return stage_of(2, self.tokenizer, TokensOnTheFly(teacher) if teacher else lambda _: self.codes)

    def counted(self, stage: Stage) -> Operations:
        return step_operations(stage, self.batch, self.bench.device)

    def row(self, variant: str, teacher: MaskGITVQGAN | None = None, **options: Any) -> dict:
        """The row of a variant; one that the card or PyTorch refuses says why."""
        try:
            stage = self.stage(teacher)
            operations = self.counted(stage) if teacher else self.operations
            seconds, memory = trained(self.bench, stage, self.batch, **options)
        except RuntimeError as error:
            return {"item": self.item, "variant": variant, "note": str(error).splitlines()[0][:90]}
        return self.bench.row(self.item, variant, len(self.batch.indices), seconds, operations, **memory)


def stage_2(bench: Bench, size: str) -> Iterator[dict]:
    """The training step: as it is, without what makes it fast, with the teacher at every step, compiled."""
    alignment = Alignment(bench, size)
    yield alignment.row("eager")
    if size == "sftok-b":
        with mock.patch("sftok.training.loop.adamw", not_fused):
            yield alignment.row("AdamW not fused")
        for name, backend in BACKENDS.items() if bench.device.type == "cuda" else ():
            with sdpa_kernel(backend):
                yield alignment.row(f"{name} attention")
    backbone = alignment.tokenizer.pixel_decoder.config
    teacher = MaskGITVQGAN(backbone, alignment.tokenizer.image_size).to(bench.device).eval()
    yield alignment.row("with the teacher", teacher)
    yield alignment.row("with the teacher, channels last", teacher.to(memory_format=torch.channels_last))
    if not bench.tiny:
        yield alignment.row("compiled", compile="default")


def max_autotune(bench: Bench) -> Iterator[dict]:
    """Stage 2 with the compiler's longest search, which takes minutes."""
    if not bench.tiny:
        yield Alignment(bench, "sftok-b").row("compiled, max-autotune", compile="max-autotune")


def stage_3(bench: Bench) -> Iterator[dict]:
    """Fine-tuning against networks with random weights; the last of them in another layout of memory."""
    tokenizer = bench.tokenizer("sftok-b")
    batch = bench.batch(tokenizer.image_size)

    def row(variant: str, *channels_last: str) -> dict:
        stage = vgg_and_dino() if bench.tiny else stage_of(3, tokenizer, lambda _: torch.empty(0))
        assert isinstance(stage, FineTuningStage)
        networks: dict[str, nn.Module] = {loss: each.module for loss, each in stage.networks.items()}
        networks["pixel decoder"] = stage.pixel_decoder
        for name in channels_last:
            networks[name].to(memory_format=torch.channels_last)
        operations = step_operations(stage, batch, bench.device)
        seconds, memory = trained(bench, stage, batch)
        return bench.row("stage 3, sftok-b", variant, len(batch.indices), seconds, operations, **memory)

    yield row("eager")
    yield row("pixel decoder channels last", "pixel decoder")
    yield row("all networks channels last", "pixel decoder", "perceptual", "discriminator")


def optimizers(bench: Bench) -> Iterator[dict]:
    """AdamW over SFTok-B alone."""
    model = bench.tokenizer("sftok-b").decoder
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for variant in ("fused", "foreach"):
        optimizer = torch.optim.AdamW(model.parameters(), **{variant: True})
        yield bench.row("AdamW, decoder", variant, 1, bench.seconds(optimizer.step))


def not_fused(named: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig) -> torch.optim.AdamW:
    """The optimizer of the training loop, by several kernels for each update."""
    optimizer = adamw(named, config)
    for group in optimizer.param_groups:
        group |= {"fused": False, "foreach": True}
    return optimizer
