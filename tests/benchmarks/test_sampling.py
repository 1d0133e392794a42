"""Autoregressive sampling with the cache, and without: every earlier position again for each id."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from small_models import perturbed, seeded

from experiments.profiles import PROFILES
from experiments.recipe import Recipe, resolve
from sftok.decoding.drawing import draw_ids
from sftok.decoding.guidance import GenerationConfig, guidance_scales, guide
from sftok.generators.autoregressive import AutoregressiveGenerator
from sftok.generators.base import Generator, GeneratorRecord

IMAGES = 32
CONFIG = GenerationConfig(guidance_scale=1.0)


@pytest.fixture(scope="module", params=["llamagen-generator", "open-magvit2"])
def model(request: pytest.FixtureRequest) -> Generator:
    profile = PROFILES["cpu"]
    made: Recipe = resolve(profile.overlay, profile.variants[request.param])
    shape = made.pixel_tokenizer_config()
    record = GeneratorRecord(
        model=made.generator.model,
        num_tokens=shape.num_tokens,
        vocabulary=shape.codebook_size,
        num_classes=10,
    )
    return perturbed(Generator.from_config(record), 0.02).eval().requires_grad_(False)


@torch.no_grad()
def sample_without_cache(
    model: AutoregressiveGenerator, labels: torch.Tensor, config: GenerationConfig, noise: torch.Generator
) -> torch.Tensor:
    both = torch.cat([labels, torch.full_like(labels, model.null_class)])
    ids = torch.zeros(len(labels), 0, dtype=torch.int64)
    for scale in guidance_scales(config, model.num_tokens):
        parts = torch.zeros(len(labels), len(model.parts), dtype=torch.int64)
        for part in range(len(model.parts)):
            known = torch.cat([ids, model.join(parts).unsqueeze(1)], dim=1)
            logits = model(torch.cat([known, known]), both)[part][:, -1]
            parts[:, part] = draw_ids(guide(logits, scale), config, noise)
        ids = torch.cat([ids, model.join(parts).unsqueeze(1)], dim=1)
    return ids


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
def test_sampling(benchmark: BenchmarkFixture, model: AutoregressiveGenerator, cached: bool) -> None:
    sample = model.sample if cached else lambda *given: sample_without_cache(model, *given)
    labels = torch.arange(IMAGES) % 10
    ids = benchmark.pedantic(sample, (labels, CONFIG, seeded()), rounds=2, warmup_rounds=1)
    assert ids.shape == (IMAGES, model.num_tokens)
