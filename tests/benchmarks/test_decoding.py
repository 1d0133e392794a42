"""An 8-step decode and an evaluation pass of the cpu profile."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from small_models import image_set, seeded

from experiments.recipe import Recipe
from sftok.decoding.schedule import DecodingConfig
from sftok.evaluation.config import EvaluationConfig
from sftok.evaluation.reconstruction import evaluate
from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok

IMAGES = 250


def test_8_step_decode(benchmark: BenchmarkFixture, tokenizer: SFTok, recipe: Recipe) -> None:
    ids = torch.randint(tokenizer.codebook_size, (IMAGES, tokenizer.num_tokens), generator=seeded())
    arguments = (ids, DecodingConfig(steps=8, temperature=0.0), seeded())
    images = benchmark.pedantic(tokenizer.decode, arguments, rounds=5, warmup_rounds=1)
    assert images.shape == (IMAGES, 3, recipe.data.image_size, recipe.data.image_size)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_evaluation_pass(
    benchmark: BenchmarkFixture, tokenizer: SFTok, recipe: Recipe, tmp_path: Path, precision: str
) -> None:
    """One number of steps, one feature space, the originals' features at hand."""
    side, asked = recipe.data.image_size, {"steps": (8,), "temperature": 0.0, "precision": precision}
    config = EvaluationConfig.build({**asked, "extractors": ("efficientnet-lite0",)})
    arguments = (tokenizer, image_set(IMAGES, side), config, [config.extractors[0].build()], tmp_path)
    teacher = MaskGITVQGAN(recipe.teacher.backbone, side)
    found = benchmark.pedantic(evaluate, arguments, {"teacher": teacher}, rounds=3, warmup_rounds=1)
    assert {row["metric"] for row in found.rows} >= {"rfid", "is", "psnr"}
