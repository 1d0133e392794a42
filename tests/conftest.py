"""Settings for all tests: hypothesis draws the same examples every time, and no test depends on a clock."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file

# For `small_models`, `batches` and `small_training`.
sys.path[:0] = [str(Path(__file__).parent / folder) for folder in (".", "metrics", "training")]
import small_models  # noqa: E402

from sftok.tokenizers.sftok import SFTok, SFTokConfig  # noqa: E402

REFERENCE = Path(__file__).parent / "data" / "reference"
"""Numbers produced by the authors' public implementation with random weights."""

os.environ.pop("MLFLOW_TRACKING_URI", None)  # no test may write to a real server

settings.register_profile("sftok", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("sftok")


@pytest.fixture
def threads() -> Iterator[None]:
    """The test may set torch's number of threads; the former one comes back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config() -> SFTokConfig:
    return small_models.sftok_config(depth=2)


@pytest.fixture
def tokenizer(config: SFTokConfig) -> SFTok:
    return SFTok.from_config(config).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 16, 16, generator=small_models.seeded())


@pytest.fixture(scope="session")
def sftok_numbers() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "sftok_tiny.safetensors")


@pytest.fixture(scope="session")
def vqgan_numbers() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "maskgit_vqgan_tiny.safetensors")


@pytest.fixture(scope="session")
def continuous_numbers() -> dict[str, torch.Tensor]:
    numbers = load_file(REFERENCE / "continuous_tiny.safetensors")
    return {name: value.float() if value.is_floating_point() else value for name, value in numbers.items()}
