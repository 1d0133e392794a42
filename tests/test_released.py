from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sftok.models.titok import TITOK_SIZES, TiTok
from sftok.models.tokenizer import SFTOK_B, SFTOK_L, SFTok, SFTokConfig
from sftok.released import (
    ReleasedWeightsError,
    convert_maskgit_vqgan,
    convert_sftok,
    convert_titok_codes,
    convert_titok_pixels,
)
from sftok.teacher.vqgan import MASKGIT_VQGAN, MaskGITVQGAN

REFERENCE = Path(__file__).parent / "data" / "reference"


def released(name: str) -> dict[str, torch.Tensor]:
    """A full-size checkpoint without its memory: names, shapes and types on the meta device."""
    tensors = json.loads((REFERENCE / f"keys_{name}.json").read_text())["tensors"]
    return {
        key: torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta")
        for key, entry in tensors.items()
    }


def build(config: SFTokConfig) -> SFTok:
    with torch.device("meta"):
        return SFTok.from_config(config)


def shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


@pytest.mark.parametrize(("name", "config"), [("sftok_b64", SFTOK_B), ("sftok_l64", SFTOK_L)])
def test_every_tensor_of_a_released_sftok_has_its_place(name, config):
    assert shapes(convert_sftok(released(name))) == shapes(build(config).state_dict())


TITOKS = [
    ("titok_b64", convert_titok_codes, "titok-b64"),
    ("titok_l32", convert_titok_codes, "titok-l32"),
    ("titok_bl64_vq8k", convert_titok_pixels, "titok-bl64"),
]


@pytest.mark.parametrize(("name", "convert", "size"), TITOKS)
def test_every_tensor_of_a_released_titok_has_its_place(name, convert, size):
    with torch.device("meta"):
        titok = TiTok.from_config(TITOK_SIZES[size])
    assert shapes(convert(released(name))) == shapes(titok.state_dict())


def test_stage_two_lacks_the_pixel_decoder_only():
    ours = shapes(build(SFTOK_B).state_dict())
    expected = {name: shape for name, shape in ours.items() if not name.startswith("pixel_decoder.")}
    assert shapes(convert_sftok(released("sftok_b64_stage2"))) == expected


def test_every_tensor_of_the_released_teacher_has_its_place():
    with torch.device("meta"):
        teacher = MaskGITVQGAN(MASKGIT_VQGAN)
    assert shapes(convert_maskgit_vqgan(released("maskgit_vqgan"))) == shapes(teacher.state_dict())


def test_the_teachers_pixel_decoder_completes_a_stage_two_checkpoint():
    teacher = convert_maskgit_vqgan(released("maskgit_vqgan"))
    state = convert_sftok(released("sftok_b64_stage2"))
    state |= {name: tensor for name, tensor in teacher.items() if name.startswith("pixel_decoder.")}
    build(SFTOK_B).load_state_dict(state, assign=True)


@pytest.mark.parametrize(
    "convert", [convert_sftok, convert_maskgit_vqgan, convert_titok_codes, convert_titok_pixels]
)
def test_a_leftover_is_refused_by_name(convert):
    with pytest.raises(ReleasedWeightsError, match=r"2 tensors .*decoder\.surprise, sem_linear\.weight"):
        convert({"sem_linear.weight": torch.zeros(1), "decoder.surprise": torch.zeros(1)})


def test_converting_leaves_the_input_alone():
    state = {"latent_tokens": torch.ones(2, 3), "quantize.index_offset": torch.zeros(1)}
    assert list(convert_sftok(state)) == ["encoder.queries"]
    assert list(state) == ["latent_tokens", "quantize.index_offset"]
