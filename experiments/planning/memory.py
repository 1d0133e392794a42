"""Estimates the GPU memory of training without a GPU, by counting bytes while a few images train on the CPU.

Memory beyond the weights is linear in the batch size, so a large batch is extrapolated from two small ones.
GPU libraries take up to a gigabyte more.

    python -m experiments.planning.memory gpu
"""

from __future__ import annotations

import argparse
import weakref
from collections.abc import Callable, Iterator
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from experiments.profiles import PROFILES
from experiments.profiles.base import Profile
from experiments.recipe import Recipe, resolve
from sftok.data.batches import Batch
from sftok.frozen import Frozen
from sftok.generators.base import TokenShape
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.quantizers.projected import Projected
from sftok.tokenizers.pixel import PixelTokenizer
from sftok.tokenizers.sftok import SFTok
from sftok.training.ema import WeightAverage
from sftok.training.loop import TrainingConfig
from sftok.training.optimizer import adamw
from sftok.training.precision import Precision, autocast
from sftok.training.stages.base import Stage, Step
from sftok.training.stages.generator import GeneratorStage
from sftok.training.stages.pixels import PixelStage
from sftok.training.stages.teacher import TeacherStage

_FEW, _MORE = 2, 4
"""Batch sizes of the two measurements."""

_OF_PIXELS = methodcaller("startswith", "pixels.")

_ALL_AT_WORK = 10**9
"""A step at which every optimizer of a stage is active."""


def training_memory(recipe: Recipe) -> dict[str, int]:
    """Peak bytes of tensors in a training step, by stage."""
    return {
        name: _at(stage, training, recipe.data.image_size, training.batch_size)
        for name, stage, training in _stages(recipe)
    }


def pixel_variants(profile: Profile) -> list[str]:
    """The variants whose tokenizers are trained on pixels."""
    return [name for name, changes in profile.variants.items() if any(map(_OF_PIXELS, changes))]


def pixel_memory(profile: Profile, variant: str) -> int:
    """Peak bytes of tensors in a training step of a variant trained on pixels.

    The frozen network of a semantic loss is not counted, because its weights may not be available.
    """
    recipe = resolve(profile.overlay | profile.variants[variant])
    tokenizer = PixelTokenizer(recipe.pixel_tokenizer_config())
    if isinstance(tokenizer.quantizer, Projected):
        tokenizer.quantizer.load_codebook(torch.zeros_like(tokenizer.quantizer.source))
    training = recipe.pixels.training
    return _at(PixelStage(tokenizer), training, recipe.data.image_size, training.batch_size)


def _stages(recipe: Recipe) -> Iterator[tuple[str, Stage, TrainingConfig]]:
    # Imported here, because it loads the networks of the losses.
    from sftok.training.measure import stage_of

    size, tokens = recipe.data.image_size, recipe.tokenizer.num_latent_tokens
    teacher = TeacherStage(MaskGITVQGAN(recipe.teacher.backbone, size))
    # An upper bound: convolutions in half precision take minutes on a CPU.
    yield "teacher", teacher, recipe.teacher.training.model_copy(update={"precision": "fp32"})
    for number, name, training in (
        (2, "alignment", recipe.stage2.training),
        (3, "fine-tuning", recipe.stage3.training),
    ):
        tokenizer = SFTok.from_config(recipe.tokenizer_config())
        yield name, stage_of(number, tokenizer, _zeros(tokenizer.decoder.num_codes)), training
    shape = TokenShape(num_tokens=tokens, vocabulary=recipe.tokenizer.quantizer.codebook_size)
    model = recipe.generator.model.build(shape, 1000)
    yield "generator", GeneratorStage(model, _zeros(tokens), recipe.generator.loss), recipe.generator.training


def _zeros(length: int) -> Callable[[Batch], Tensor]:
    """A function that gives the images of a batch zero ids, `[B, length]`."""
    return lambda batch: torch.zeros(len(batch.indices), length, dtype=torch.int64)


def _at(stage: Stage, training: TrainingConfig, side: int, images: int) -> int:
    few, more = (_peak(stage, training, side, count) for count in (_FEW, _MORE))
    return round(few + (images - _FEW) * (more - few) / (_MORE - _FEW))


def _peak(stage: Stage, training: TrainingConfig, side: int, count: int) -> int:
    """Peak bytes of two steps with `count` images, including weights."""
    stage.train()
    # fp16 is as large as bf16, whose attention stores more on a CPU than on a GPU.
    precision: Precision = "fp16" if training.precision == "bf16" else training.precision
    networks = [each.module for each in vars(stage).values() if isinstance(each, Frozen)]
    networks += [each.module for each in getattr(stage, "networks", {}).values()]
    weights = {id(each): each.nbytes for module in (stage, *networks) for each in _tensors(module)}
    with _Counter() as counter:
        batch = Batch(
            torch.rand(count, 3, side, side), torch.zeros(count, dtype=torch.int64), torch.arange(count)
        )
        average = WeightAverage(stage.trained, training.ema_decay)
        parameters = {name: list(named) for name, named in stage.optimizers().items()}
        optimizers = {name: adamw(named, training.optimizer) for name, named in parameters.items()}
        for _ in range(2):
            step = Step(_ALL_AT_WORK, batch, torch.Generator().manual_seed(0))
            for name, optimizer in optimizers.items():
                with autocast(precision, batch.images.device):
                    loss = stage.losses(name, step)["loss"]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        del average
    return sum(weights.values()) + counter.peak


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


class _Counter(TorchDispatchMode):
    """Counts the bytes of living tensors that are created within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = (each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor))
        given = {each.untyped_storage()._cdata for each in inputs}
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and (storage := each.untyped_storage())._cdata not in given:
                self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.now -= size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m experiments.planning.memory", description="Count the memory of a step of every stage."
    )
    parser.add_argument("profile", choices=PROFILES)
    chosen = PROFILES[parser.parse_args().profile]
    for name, size in training_memory(resolve(chosen.overlay)).items():
        print(f"{name:18} {size / 2**30:.1f} GiB", flush=True)
    for name in pixel_variants(chosen):
        print(f"{name:18} {pixel_memory(chosen, name) / 2**30:.1f} GiB", flush=True)
