"""Released tokenizers of Table 1 at full size, by names and shapes; the meta device takes no memory."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from sftok.checkpoints import CheckpointError
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


EXTRAS = {
    "taming_vqgan_f16_16384": ("loss.logvar", "model_ema.num_updates"),
    "movq_270m": ("loss.discriminator.main.0.weight", "ema_encoder.conv_inweight", "ema_quant_conv.decay"),
    "ldm_vq_f4": ("loss.perceptual_loss.lin0.model.1.weight",),
    "vit_vqgan_base": ("loss.perceptual_loss.net.slice1.0.weight",),
    "vqgan_lc_100k_f8": ("discriminator.main.0.weight", "perceptual_loss.lin0.model.1.weight"),
    "cosmos_di16x16": ("encoder.patcher.wavelets", "decoder.unpatcher._arange", "quantizer._basis"),
    "llamagen_vq16": ("quantize.codebook_used",),
    "open_magvit2_tokenizer_256_l": ("loss.discriminator.conv.weight", "model_ema.lossdiscriminatorweight"),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_known_extras_of_a_release_are_left_out(name):
    plain, file = released(name), released(name)
    file.tensors.update({extra: torch.zeros(2) for extra in EXTRAS[name]})
    assert interpret(file).tensors.keys() == interpret(plain).tensors.keys()


@pytest.mark.parametrize("name", KEYS["tensors"])
def test_a_leftover_of_a_release_is_refused_by_name(name):
    file = released(name)
    file.tensors["encoder.surprise.weight"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"1 tensors belong to no part .*: encoder\.surprise\.weight"):
        interpret(file)


@pytest.mark.parametrize("name", ["ldm_vq_f4_diffusers", "movq_67m_diffusers"])
def test_attention_as_older_versions_of_diffusers_named_it(name):
    def old(key: str) -> str:
        for new, former in {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}.items():
            key = key.replace(f".{new}.", f".{former}.")
        return key

    plain = released(name)
    renamed = {old(key): tensor for key, tensor in plain.tensors.items()}
    assert renamed.keys() != plain.tensors.keys()
    found = interpret(WeightFile(plain.path, renamed, None)).tensors
    assert found.keys() == interpret(plain).tensors.keys()


@pytest.mark.parametrize("name", ["taming_vqgan_f16_16384", "llamagen_vq16", "rqvae_8x8x4"])
def test_a_missing_projection_is_refused_by_name(name):
    file = released(name)
    missing = next(key for key in file.tensors if key.endswith(".k.weight"))
    del file.tensors[missing]
    with pytest.raises(CheckpointError, match=r"a tensor is missing, .*attention.*qkv\.weight/k"):
        interpret(file)
