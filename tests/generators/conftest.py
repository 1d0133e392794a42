"""The tiny generators of the authors' code, with their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_models import released

from sftok.checkpoints.files import WeightFile
from sftok.checkpoints.layouts import interpret
from sftok.generators.autoregressive import AutoregressiveGenerator
from sftok.generators.llamagen import LlamaGenConfig, LlamaGenGenerator
from sftok.generators.open_magvit2 import OpenMagvit2Config, OpenMagvit2Generator

REFERENCE = Path(__file__).parents[1] / "data" / "reference" / "generators"


@pytest.fixture(scope="session")
def llamagen_numbers() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "llamagen_gpt.safetensors")


@pytest.fixture(scope="session")
def open_magvit2_numbers() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "open_magvit2_ar.safetensors")


@pytest.fixture(scope="session")
def released_llamagen(llamagen_numbers) -> LlamaGenGenerator:
    return opened(llamagen_numbers, LlamaGenGenerator, LlamaGenConfig(width=64, depth=2, heads=4), 16)


@pytest.fixture(scope="session")
def released_open_magvit2(open_magvit2_numbers) -> OpenMagvit2Generator:
    config = OpenMagvit2Config(width=64, depth=2, intra_depth=1, heads=4, bits=(4, 6))
    return opened(open_magvit2_numbers, OpenMagvit2Generator, config, 16)


def opened(numbers, kind, config, num_tokens) -> AutoregressiveGenerator:
    """The model of a released file; what no tensor tells, heads and tokens, is given."""
    weights = {name: tensor.float() for name, tensor in released(numbers).items()}
    checkpoint = interpret(WeightFile(Path("tiny.pt"), weights, None))
    record = kind.record_type.build(
        {**checkpoint.record, "model": config.model_dump(), "num_tokens": num_tokens}
    )
    return kind.from_checkpoint(checkpoint, record).requires_grad_(False)
