"""A stage-2 training step of the cpu profile by number format and attention; ratios are taken in one run.

`nox -s benchmarks -- -k paths` prints the ratios, which `extra_info` holds.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import partial, partialmethod

import pytest
import torch
import torch.nn.functional as F
from pytest_benchmark.fixture import BenchmarkFixture
from small_models import seeded
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from experiments.recipe import Recipe
from sftok.data.batches import Batch
from sftok.models.layers import SelfAttention, attend
from sftok.tokenizers.sftok import SFTok
from sftok.training.optimizer import adamw
from sftok.training.precision import Precision, autocast
from sftok.training.stages.base import Step
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage

CPU = torch.device("cpu")


@pytest.fixture
def step(recipe: Recipe, tokenizer: SFTok, batch: Batch) -> Callable[[Precision], float]:
    parts = (tokenizer.encoder, tokenizer.quantizer, tokenizer.decoder)
    shape = (len(batch.indices), tokenizer.decoder.num_codes)
    codes = torch.randint(tokenizer.decoder.vocabulary, shape, generator=seeded(1))
    stage = AlignmentStage(*parts, lambda batch: codes, recipe.loss, AlignmentConfig()).train()
    optimizer = adamw(stage.trained.named_parameters(), recipe.stage2.training.optimizer)

    def one(precision: Precision) -> float:
        with autocast(precision, CPU):
            losses = stage.losses("model", Step(0, batch, seeded(2)))
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        optimizer.step()
        return losses["loss"].item()

    return one


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """torch's own choice, whose backward pass is slow in bf16 on a CPU."""
    return F.scaled_dot_product_attention(query, key, value)


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """torch's plain form."""
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(query, key, value)


PATHS: dict[str, tuple[Precision, Callable[..., Tensor]]] = {
    "fp32": ("fp32", attend),
    "bf16": ("bf16", attend),
    "bf16 with torch's math attention": ("bf16", plain),
    "bf16 with torch's default attention": ("bf16", fused),
}


@pytest.mark.parametrize("recipe", ["profile", "wider", "larger"], indirect=True)
def test_paths_against_fp32(
    benchmark: BenchmarkFixture, step: Callable[[Precision], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How the CPU's path was chosen; all in turn, so that a machine whose speed drifts tells the same."""
    times: dict[str, list[float]] = {path: [] for path in PATHS}
    losses, used = [], set()
    forward = SelfAttention.forward

    def noted(path: str, form: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        used.add(path)
        return form(*inputs)

    def each() -> None:
        for path, (precision, form) in PATHS.items():
            monkeypatch.setattr(
                SelfAttention, "forward", partialmethod(forward, attend=partial(noted, path, form))
            )
            started = time.perf_counter()
            losses.append(step(precision))
            times[path].append(time.perf_counter() - started)

    benchmark.pedantic(each, rounds=15, warmup_rounds=3)
    for path, taken in times.items():
        ratios = [slow / fast for slow, fast in zip(times["fp32"], taken, strict=True)]
        benchmark.extra_info[f"speed of {path}, fp32 = 1"] = round(statistics.median(ratios), 2)
    assert used == set(PATHS)
    assert all(math.isfinite(loss) for loss in losses)
