"""Released autoencoders of Table 2, whose latents are continuous: names, shapes and numbers."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import Tensor
from torch.testing import assert_close

from sftok.checkpoints import CheckpointError
from sftok.checkpoints.files import WeightFile
from sftok.checkpoints.layouts import interpret, layouts
from sftok.models.autoencoders.dc_ae import DCAEConfig
from sftok.models.autoencoders.ldm import LDMConfig
from sftok.quantizers.gaussian import GaussianConfig
from sftok.quantizers.identity import IdentityConfig
from sftok.tokenizers.pixel import PixelTokenizer, PixelTokenizerConfig

REFERENCE = Path(__file__).parents[1] / "data" / "reference"

RELEASED = {
    "ldm_kl_f4": PixelTokenizerConfig(
        image_size=256, autoencoder=LDMConfig(), quantizer=GaussianConfig(), latent_dim=3
    ),
    "dcae_f32c32_in_diffusers": PixelTokenizerConfig(
        image_size=256,
        autoencoder=DCAEConfig(decoder_norm="batch_norm"),
        quantizer=IdentityConfig(),
        latent_dim=32,
    ),
    "dcae_f32c32_sana_diffusers": PixelTokenizerConfig(
        image_size=256,
        autoencoder=DCAEConfig(
            encoder_blocks=(2, 2, 2, 3, 3, 3),
            decoder_blocks=(3, 3, 3, 3, 3, 3),
            resampling="convolution",
            attention_scales=(5,),
        ),
        quantizer=IdentityConfig(),
        latent_dim=32,
    ),
}

GENERATOR = (
    "model.diffusion_model.input_blocks.0.0.weight",
    "model_ema.diffusion_modelinput_blocks00weight",
    "cond_stage_model.embedding.weight",
    "betas",
    "sqrt_alphas_cumprod",
    "posterior_mean_coef1",
    "scale_factor",
)


def released(name: str) -> WeightFile:
    entries = json.loads((REFERENCE / f"keys_{name}.json").read_text())["tensors"]
    tensors = {
        key: torch.empty(entry["shape"], dtype=getattr(torch, entry["dtype"]), device="meta")
        for key, entry in entries.items()
    }
    return WeightFile(Path(f"{name}.ckpt"), tensors, None)


def of_a_generator(file: WeightFile, *others: str) -> WeightFile:
    tokenizer = {f"first_stage_model.{key}": tensor for key, tensor in file.tensors.items()}
    return replace(file, tensors=tokenizer | {name: torch.zeros(2) for name in (*GENERATOR, *others)})


@pytest.mark.parametrize("name", RELEASED)
def test_one_layout_alone_knows_a_release(name):
    tensors = released(name).tensors
    assert [layout.matches(tensors) for layout in layouts()].count(True) == 1


@pytest.mark.parametrize("name", RELEASED)
def test_a_release_is_the_model_that_its_shapes_tell(name):
    model = PixelTokenizer.from_checkpoint(interpret(released(name)))
    assert model.record == RELEASED[name]
    assert all(tensor.is_meta for tensor in model.parameters())


@pytest.mark.parametrize("name", [*RELEASED, "ldm_vq_f4_diffusers"])
def test_a_tokenizer_is_found_in_the_file_of_its_generator(name):
    alone, inside = interpret(released(name)), interpret(of_a_generator(released(name)))
    assert inside.record == alone.record
    assert inside.tensors.keys() == alone.tensors.keys()


def test_wrappers_around_and_within_a_generator_are_taken_off():
    file = of_a_generator(released("ldm_kl_f4"))
    wrapped = {f"module.{key}": tensor for key, tensor in file.tensors.items()}
    assert interpret(replace(file, tensors=wrapped)).tensors.keys() == interpret(file).tensors.keys()


@pytest.mark.parametrize("name", RELEASED)
def test_what_is_neither_the_tokenizer_nor_its_generator_is_refused_by_name(name):
    file = of_a_generator(released(name), "surprise.weight")
    with pytest.raises(CheckpointError, match=r"1 tensors belong to no part .*: surprise\.weight"):
        interpret(file)


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("extra", ["encoder.surprise.weight", "decoder.conv_in.scale"])
def test_a_leftover_is_refused_by_name(name, extra):
    file = released(name)
    file.tensors[extra] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=rf"1 tensors belong to no part .*: {re.escape(extra)}"):
        interpret(file)


@pytest.mark.parametrize("name", RELEASED)
def test_a_missing_tensor_is_refused_by_name(name):
    file = released(name)
    del file.tensors["decoder.conv_in.bias"]
    with pytest.raises(CheckpointError, match=r"missing: decoder\.network\.conv_in\.bias"):
        PixelTokenizer.from_checkpoint(interpret(file))


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("ldm_kl_f4", r"encoder\.down\.1\.block\.0\.conv1\.weight", r"tensor is missing, encoder\.network"),
        ("dcae_f32c32_in_diffusers", r"encoder\.down_blocks\.3\..*", "stage 3 of its encoder has no blocks"),
        ("dcae_f32c32_in_diffusers", r"decoder\.up_blocks\.[45]\..*", "encoder has 6 stages .* decoder 4"),
    ],
)
def test_shapes_that_tell_no_configuration_are_refused(name, missing, message):
    file = released(name)
    kept = {key: value for key, value in file.tensors.items() if not re.fullmatch(missing, key)}
    assert len(kept) < len(file.tensors)
    with pytest.raises(CheckpointError, match=message):
        interpret(replace(file, tensors=kept))


def test_a_kl_autoencoder_without_attention_and_with_a_loss():
    file = released("ldm_kl_f4")
    kept = {key: value for key, value in file.tensors.items() if ".attn_1." not in key}
    kept["loss.logvar"] = torch.zeros(1)
    model = PixelTokenizer.from_checkpoint(interpret(replace(file, tensors=kept)))
    assert model.record.autoencoder == LDMConfig(middle_attention=False)


COMPVIS = (
    (r"_blocks\.(\d+)\.resnets\.", r".\1.block."),
    (r"_blocks\.(\d+)\.(down|up)samplers\.0\.", r".\1.\2sample."),
    (r"mid_block\.resnets\.0\.", "mid.block_1."),
    (r"mid_block\.resnets\.1\.", "mid.block_2."),
    (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
    (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
    (r"mid_block\.attentions\.0\.to_", "mid.attn_1."),
    ("conv_norm_out", "norm_out"),
    ("conv_shortcut", "nin_shortcut"),
)


def as_compvis(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A convolutional autoencoder in the layout of diffusers as CompVis' code lays it out."""
    last = max(int(match[1]) for name in weights if (match := re.match(r"decoder\.up_blocks\.(\d+)", name)))

    def renamed(name: str) -> str:
        for pattern, replacement in COMPVIS:
            name = re.sub(pattern, replacement, name)
        return re.sub(r"(decoder\.up\.)(\d+)", lambda match: f"{match[1]}{last - int(match[2])}", name)

    return {
        renamed(name): tensor[..., None, None] if ".attentions." in name and tensor.dim() == 2 else tensor
        for name, tensor in weights.items()
    }


def as_old_diffusers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    pattern = re.compile("|".join(map(re.escape, old)))
    return {pattern.sub(lambda match: old[match[0]], name): tensor for name, tensor in weights.items()}


def test_compvis_names_here_are_those_that_another_release_pairs_with_diffusers():
    """MoVQ has these networks too; its authors' names and those of diffusers were paired by others."""
    pairs = json.loads(gzip.decompress((REFERENCE / "keys_tokenizers.json.gz").read_bytes()))
    shared = {
        theirs: diffusers
        for theirs, diffusers in pairs["movq_to_diffusers"].items()
        if not re.search(r"quantize|norm_layer|conv_[yb]|(down|up)\.\d\.attn", theirs)
    }
    assert len(shared) > 80
    renamed = as_compvis({diffusers: torch.zeros(1) for diffusers in shared.values()})
    assert list(renamed) == list(shared)


SYSTEMS = {
    "dcae_in": (32, {"head_dim": 8}, "latent", "image", dict),
    "dcae_sana": (16, {}, "latent", "image", dict),
    "ldm_kl": (32, {"norm_groups": 8}, "mean", "image_of_mean", dict),
    "ldm_kl in the layout of CompVis": (32, {"norm_groups": 8}, "mean", "image_of_mean", as_compvis),
    "ldm_kl of old diffusers": (32, {"norm_groups": 8}, "mean", "image_of_mean", as_old_diffusers),
}
"""Pixels per side, what the shapes do not tell, the numbers' names, and the layout of the file."""


@pytest.mark.parametrize("name", SYSTEMS)
def test_images_pass_through_as_in_the_authors_code(name, continuous_numbers):
    image_size, untold, latents, image, layout = SYSTEMS[name]
    part = name.split()[0]
    numbers = {
        key.removeprefix(f"{part}."): value
        for key, value in continuous_numbers.items()
        if key.startswith(f"{part}.")
    }
    weights = {
        key.removeprefix("weights."): value for key, value in numbers.items() if key.startswith("weights.")
    }
    checkpoint = interpret(WeightFile(Path("tiny.bin"), layout(weights), None))
    record = {**checkpoint.record, "image_size": image_size}
    record["autoencoder"] = {**record["autoencoder"], **untold}
    tokenizer = PixelTokenizer.from_checkpoint(replace(checkpoint, record=record))
    found = tokenizer.encode((numbers["in.images"] + 1) / 2)
    expected = rearrange(numbers[f"out.{latents}"], "b d h w -> b (h w) d")
    assert_close(found, expected, rtol=1e-5, atol=1e-5)
    reconstruction = ((numbers[f"out.{image}"] + 1) / 2).clamp(0, 1)
    assert_close(tokenizer.decode(found), reconstruction, rtol=0, atol=1e-4)
    assert reconstruction.std() > 0.01
