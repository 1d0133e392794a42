"""A stage-2 training step of the cpu profile in each number format; the ratio is taken in one run.

`pytest tests/benchmarks --benchmark-only` prints the times; `extra_info` holds the ratio.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from experiments.recipe import Recipe
from sftok.data.batches import Batch
from sftok.models.tokenizer import SFTok
from sftok.training.optimisation import adamw
from sftok.training.precision import Precision, autocast
from sftok.training.stages.base import Step
from sftok.training.stages.tokenizer import AlignmentConfig, AlignmentStage

CPU = torch.device("cpu")


@pytest.fixture
def step(recipe: Recipe, tokenizer: SFTok, batch: Batch) -> Callable[[Precision], None]:
    decoder = tokenizer.decoder
    shape = (len(batch.indices), decoder.config.num_codes)
    codes = torch.randint(decoder.config.vocabulary, shape, generator=torch.Generator().manual_seed(1))
    stage = AlignmentStage(
        tokenizer.encoder,
        tokenizer.quantizer,
        decoder,
        lambda batch: codes,
        recipe.loss,
        AlignmentConfig(replacement_ratio=1.0),
    ).train()
    optimiser = adamw(stage.trained.named_parameters(), recipe.stage2.training.optimisation)

    def one(precision: Precision) -> None:
        with autocast(precision, CPU):
            losses = stage.losses("model", Step(0, batch, torch.Generator().manual_seed(2)))
        optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        optimiser.step()

    return one


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stage_2_step(
    benchmark: BenchmarkFixture, step: Callable[[Precision], None], precision: Precision
) -> None:
    benchmark.pedantic(step, (precision,), rounds=15, warmup_rounds=3)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("recipe", ["profile", "larger"], indirect=True)
def test_bf16_against_fp32(benchmark: BenchmarkFixture, step: Callable[[Precision], None]) -> None:
    """The two in turn, so that a machine whose speed drifts tells the same ratio."""
    times: dict[str, list[float]] = {"fp32": [], "bf16": []}

    def both() -> Any:
        for precision, taken in times.items():
            started = time.perf_counter()
            step(precision)  # type: ignore[arg-type]
            taken.append(time.perf_counter() - started)

    benchmark.pedantic(both, rounds=15, warmup_rounds=3)
    ratios = [slow / fast for slow, fast in zip(times["fp32"], times["bf16"], strict=True)]
    benchmark.extra_info["fp32 / bf16 with math attention, median of pairs"] = round(
        statistics.median(ratios), 2
    )
    assert len(ratios) >= 1
