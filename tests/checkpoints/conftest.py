from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_models import released, seeded
from torch import Tensor

from sftok.decoding.schedule import DecodingConfig
from sftok.models.decoder import ViTDecoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.maskgit_vqgan import MaskGITVQGAN, VQGANConfig
from sftok.quantizers.optvq import OptVQConfig
from sftok.tokenizers.sftok import SFTok, SFTokRecord

Tensors = dict[str, Tensor]


@pytest.fixture(scope="session")
def sftok_record() -> SFTokRecord:
    """The tiny reference, as its authors' stage 3 would save it."""
    shape = {"width": 64, "depth": 2, "heads": 2}
    return SFTokRecord(
        image_size=32,
        num_latent_tokens=4,
        token_dim=16,
        encoder=ViTEncoderConfig(patch_size=8, latent_layout="legacy", **shape),
        quantizer=OptVQConfig(codebook_size=64),
        decoder=ViTDecoderConfig(**shape),
        pixel_decoder=VQGANConfig(
            hidden_channels=32,
            channel_multipliers=(1, 1, 2, 2),
            num_res_blocks=1,
            code_dim=8,
            codebook_size=1024,
        ),
        decoding=DecodingConfig(final_lookup="soft"),
    )


@pytest.fixture(scope="session")
def teacher(sftok_record: SFTokRecord) -> MaskGITVQGAN:
    return MaskGITVQGAN(sftok_record.pixel_decoder, 32, seeded(5)).eval()


@pytest.fixture(scope="session")
def released_teacher(teacher: MaskGITVQGAN) -> Tensors:
    return as_released(teacher.state_dict(), pixel_decoder="decoder", codebook="quantize")


@pytest.fixture(scope="session")
def released_stage2(sftok_numbers: Tensors) -> Tensors:
    return released(sftok_numbers)


@pytest.fixture(scope="session")
def released_stage3(released_stage2: Tensors, teacher: MaskGITVQGAN) -> Tensors:
    pixels = {name: value for name, value in teacher.state_dict().items() if name.startswith("pixel")}
    return released_stage2 | as_released(pixels, pixel_decoder="pixel_decoder", codebook="pixel_quantize")


@pytest.fixture
def sftok(sftok_record: SFTokRecord) -> SFTok:
    return SFTok.from_record(sftok_record, seeded(1)).eval()


@pytest.fixture
def torch_file(tmp_path: Path) -> Callable[[object], Path]:
    def write(content: object) -> Path:
        torch.save(content, tmp_path / "pytorch_model.bin")
        return tmp_path / "pytorch_model.bin"

    return write


def as_released(state: Tensors, pixel_decoder: str, codebook: str) -> Tensors:
    """The names that the release has for a VQGAN of ours."""

    def rename(name: str) -> str:
        name = name.replace("pixel_decoder.codebook", f"{codebook}.embedding.weight")
        name = re.sub(r"^pixel_decoder\.", f"{pixel_decoder}.", name)
        name = re.sub(r"\.after_up\.(\d+)\.", lambda found: f".up.{int(found[1]) + 1}.upsample_conv.", name)
        name = re.sub(r"\.(up|down)\.(\d+)\.(\d+)\.", r".\1.\2.block.\3.", name)
        return name.replace(".shortcut.", ".nin_shortcut.")

    return {rename(name): value for name, value in state.items()}
