from __future__ import annotations

import pytest
import torch

from sftok.models.decoder import DecoderConfig
from sftok.models.encoder import EncoderConfig
from sftok.models.tokenizer import SFTok, SFTokConfig
from sftok.quantizers.optvq import OptVQConfig
from sftok.teacher.vqgan import VQGANConfig


@pytest.fixture
def config() -> SFTokConfig:
    return SFTokConfig(
        encoder=EncoderConfig(
            image_size=16, patch_size=4, width=16, depth=2, heads=2, num_latent_tokens=4, token_dim=8
        ),
        quantizer=OptVQConfig(codebook_size=32, token_dim=8),
        decoder=DecoderConfig(
            num_latent_tokens=4, token_dim=8, num_codes=16, vocabulary=24, width=16, depth=2, heads=2
        ),
        pixel_decoder=VQGANConfig(
            image_size=16,
            hidden_channels=8,
            channel_multipliers=(1, 1, 2),
            num_res_blocks=1,
            code_dim=6,
            codebook_size=24,
            norm_groups=4,
        ),
    )


@pytest.fixture
def tokenizer(config: SFTokConfig) -> SFTok:
    return SFTok.from_config(config).eval()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(5, 3, 16, 16, generator=generator)
