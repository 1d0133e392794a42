from __future__ import annotations

import pytest
import small_models
import torch

from sftok.tokenizers.sftok import SFTok, SFTokConfig


@pytest.fixture
def config() -> SFTokConfig:
    return small_models.sftok_config(depth=2)


@pytest.fixture
def tokenizer(config: SFTokConfig) -> SFTok:
    return SFTok.from_config(config).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 16, 16, generator=small_models.seeded())
