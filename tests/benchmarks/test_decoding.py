"""An 8-step decode and an evaluation pass of the cpu profile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from experiments.recipe import Recipe
from sftok.data.base import MemoryImageSet
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.reconstruction import evaluate
from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN

IMAGES = 250


def test_8_step_decode(benchmark: BenchmarkFixture, tokenizer: SFTok, recipe: Recipe) -> None:
    shape = (IMAGES, recipe.tokenizer.num_latent_tokens)
    ids = torch.randint(recipe.tokenizer.codebook_size, shape, generator=torch.Generator().manual_seed(0))
    decoding = DecodingConfig(steps=8, temperature=0.0)
    images = benchmark.pedantic(
        tokenizer.decode, (ids, decoding, torch.Generator().manual_seed(0)), rounds=5, warmup_rounds=1
    )
    assert images.shape == (IMAGES, 3, recipe.data.image_size, recipe.data.image_size)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_evaluation_pass(
    benchmark: BenchmarkFixture, tokenizer: SFTok, recipe: Recipe, tmp_path: Path, precision: str
) -> None:
    """One number of steps, one feature space, the originals' features at hand."""
    side = recipe.data.image_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 3, side, side), generator=generator, dtype=torch.uint8)
    image_set = MemoryImageSet("noise", ("noise",), pixels, torch.zeros(IMAGES, dtype=torch.long))
    config = EvaluationConfig.build(
        {
            "steps": (8,),
            "temperature": 0.0,
            "extractors": ("efficientnet-lite0",),
            "precision": precision,
        }
    )
    extractors = [config.extractors[0].build()]
    teacher = MaskGITVQGAN(recipe.teacher_config())
    arguments = (tokenizer, image_set, config, extractors, tmp_path)
    found = benchmark.pedantic(evaluate, arguments, {"teacher": teacher}, rounds=3, warmup_rounds=1)
    assert {row["metric"] for row in found.rows} >= {"rfid", "is", "psnr"}
