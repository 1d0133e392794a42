"""Numbers produced by the authors' public implementation with random weights (see tests/data/reference)."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor, nn

from sftok.checkpoints.released import maskgit_vqgan, sftok
from sftok.models.decoder import ViTDecoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.quantizers.optvq import OptVQConfig
from sftok.teacher.vqgan import MaskGITVQGAN, VQGANConfig

REFERENCE = Path(__file__).parents[1] / "data" / "reference"


def weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("weights."): tensor for name, tensor in tensors.items() if name[0] == "w"}


@pytest.fixture(scope="session")
def sftok_numbers() -> dict[str, Tensor]:
    return load_file(REFERENCE / "sftok_tiny.safetensors")


@pytest.fixture(scope="session")
def released_sftok(sftok_numbers: dict[str, Tensor]) -> nn.ModuleDict:
    """Encoder, quantizer and decoder; the tiny reference has no pixel decoder."""
    shape = {"width": 64, "depth": 2, "heads": 2}
    encoder = ViTEncoderConfig(patch_size=8, latent_layout="legacy", **shape)
    parts = nn.ModuleDict(
        {
            "encoder": encoder.build(32, 4, 16),
            "quantizer": OptVQConfig(codebook_size=64).build(16),
            "decoder": ViTDecoderConfig(**shape).build(4, 16, 16, 1024),
        }
    )
    parts.load_state_dict(sftok.LAYOUTS[0].convert(weights(sftok_numbers)))
    return parts.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def vqgan_numbers() -> dict[str, Tensor]:
    return load_file(REFERENCE / "maskgit_vqgan_tiny.safetensors")


@pytest.fixture(scope="session")
def released_vqgan(vqgan_numbers: dict[str, Tensor]) -> MaskGITVQGAN:
    shape = {"hidden_channels": 32, "channel_multipliers": (1, 2), "num_res_blocks": 1}
    vqgan = MaskGITVQGAN(VQGANConfig(**shape, code_dim=16, codebook_size=32), 32)
    vqgan.load_state_dict(maskgit_vqgan.LAYOUTS[0].convert(weights(vqgan_numbers)))
    return vqgan.eval().requires_grad_(False)
