"""Released tokenizers of Table 1 at full size, by names and shapes; the meta device takes no memory."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from sftok.checkpoints.files import WeightFile
from sftok.checkpoints.layouts import interpret, layouts
from sftok.checkpoints.pretrained import without_weights
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig
from sftok.tokenizers.sizes import PIXEL_SIZES

REFERENCE = Path(__file__).parents[1] / "data" / "reference"
KEYS = json.loads(gzip.decompress((REFERENCE / "keys_tokenizers.json.gz").read_bytes()))

RELEASED = {
    "taming_vqgan_f16_16384": "vqgan-f16",
    "rqvae_8x8x4": "rq-vae",
    "imagefolder_msvr10p2_4096": "imagefolder",
    "movq_270m": "movq-270m",
    "movq_67m_diffusers": "movq-67m",
    "vqgan_lc_100k_f16": "vqgan-lc-f16",
    "cosmos_di16x16": "cosmos-di16",
    "cosmos_di8x8": "cosmos-di8",
    "vit_vqgan_base": "vit-vqgan-base",
    "ldm_vq_f4": "ldm-4-vq",
    "ldm_vq_f4_diffusers": "ldm-4-vq",
    "llamagen_vq16": "llamagen-vq16",
    "maskbit_tokenizer_12bit": "maskbit-12bit",
    "open_magvit2_tokenizer_256_l": "open-magvit2",
}

PARAMETERS = {
    "vqgan-f16": 76.1,
    "movq-270m": 270.7,
    "movq-67m": 67.8,
    "cosmos-di16": 83.7,
    "cosmos-di8": 79.0,
    "vit-vqgan-base": 172.2,
    "ldm-4-vq": 55.3,
    "llamagen-vq16": 71.883403,
    "maskbit-12bit": 54.479247,
    "open-magvit2": 115.127829,
}
"""In millions, as counted in the authors' code, without losses and averages."""


def released(name: str) -> WeightFile:
    tensors = {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for key, (dtype, *shape) in KEYS["tensors"][name].items()
    }
    return WeightFile(Path(f"{name}.bin"), tensors, None)


@pytest.mark.parametrize("name", KEYS["tensors"])
def test_one_layout_alone_knows_a_release(name):
    tensors = released(name).tensors
    assert [layout.matches(tensors) for layout in layouts()].count(True) == 1


@pytest.mark.parametrize("name", RELEASED)
def test_the_shapes_of_a_release_tell_its_configuration(name):
    checkpoint = interpret(released(name))
    assert PixelTokenizerConfig.build(dict(checkpoint.record)) == PIXEL_SIZES[RELEASED[name]]


@pytest.mark.parametrize("name", KEYS["tensors"])
def test_a_release_fits_the_model_that_is_built_for_it(name):
    model = PixelTokenizer.from_checkpoint(interpret(released(name)))
    assert all(tensor.is_meta for tensor in model.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_full_sizes_have_the_parameters_of_the_authors_models(name):
    with without_weights():
        model = PixelTokenizer.from_config(PIXEL_SIZES[name])
    saved = sum(tensor.numel() for tensor in model.state_dict().values() if tensor.is_floating_point())
    assert saved / 1e6 == pytest.approx(PARAMETERS[name], abs=0.06)
