"""LDM-4's autoencoder: the authors' numbers and shapes, explicit draws, refusals."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.checkpoints.pretrained import without_weights
from sftok.models.autoencoders.ldm import LDMConfig, LDMDecoder, LDMEncoder
from sftok.quantizers.gaussian import Gaussian
from sftok.quantizers.late_vq import LateVQConfig

TINY = LDMConfig(hidden_channels=8, channel_multipliers=(1, 2, 3), num_res_blocks=1, norm_groups=8)
REFERENCE = Path(__file__).parents[2] / "data" / "reference"
assert_parity = partial(assert_close, atol=1e-5, rtol=1e-5)


def loaded(half, numbers, part, convolution, name):
    weights = {
        key.removeprefix(f"{part}.weights."): value
        for key, value in numbers.items()
        if key.startswith(f"{part}.weights.")
    }
    own = {
        key.replace(f"{name}.", "network.", 1): value
        for key, value in weights.items()
        if key.startswith((f"{name}.", f"{convolution}."))
    }
    half.load_state_dict(own)
    return half.eval().requires_grad_(False)


def halves(numbers, part, encoder_dim):
    encoder = loaded(TINY.build_encoder(32, encoder_dim), numbers, part, "quant_conv", "encoder")
    decoder = loaded(TINY.build_decoder(32, 3), numbers, part, "post_quant_conv", "decoder")
    return encoder, decoder


def as_sequence(grid):
    return grid.flatten(2).transpose(1, 2)


def test_the_kl_version_agrees_with_the_authors(continuous_numbers):
    numbers = {k: v for k, v in continuous_numbers.items() if k.startswith("ldm_kl.")}
    encoder, decoder = halves(numbers, "ldm_kl", 6)
    mean, log_variance = Gaussian.moments(encoder((numbers["ldm_kl.in.images"] + 1) / 2))
    assert_parity(mean, as_sequence(numbers["ldm_kl.out.mean"]))
    assert_parity(log_variance, as_sequence(numbers["ldm_kl.out.log_variance"]))
    assert_parity(Gaussian.divergence(mean, log_variance).sum((1, 2)), numbers["ldm_kl.out.kl"], rtol=1e-4)
    for latents, image in (("mean", "image_of_mean"), ("sample", "image_of_sample")):
        made = 2 * decoder(as_sequence(numbers[f"ldm_kl.out.{latents}"])) - 1
        assert_parity(made, numbers[f"ldm_kl.out.{image}"])


def test_the_vq_version_agrees_with_the_authors(continuous_numbers):
    numbers = {k: v for k, v in continuous_numbers.items() if k.startswith("ldm_vq.")}
    encoder, decoder = halves(numbers, "ldm_vq", 3)
    latents = encoder((numbers["ldm_vq.in.images"] + 1) / 2)
    assert_parity(latents, as_sequence(numbers["ldm_vq.out.latent"]))
    quantizer = LateVQConfig(codebook_size=64).build(3).eval()
    quantizer.embedding.data = numbers["ldm_vq.weights.quantize.embedding.weight"]
    found = quantizer(latents)
    assert torch.equal(found.ids, numbers["ldm_vq.out.ids"].flatten(1))
    assert_parity(found.quantized, as_sequence(numbers["ldm_vq.out.quantized"]))
    assert_parity(found.loss, numbers["ldm_vq.out.quantizer_loss_legacy"])
    seen = quantizer.assign(latents)
    assert torch.equal(seen, latents), "a generator learns what is not quantized"
    assert_parity(2 * decoder(quantizer.lookup(seen)) - 1, numbers["ldm_vq.out.image_quantized"])
    assert_parity(2 * decoder(latents) - 1, numbers["ldm_vq.out.image_not_quantized"])


@pytest.mark.parametrize(("file", "encoder_dim"), [("ldm_vq_f4_diffusers", 3), ("ldm_kl_f4", 6)])
def test_the_defaults_have_the_shapes_of_the_published_model(file, encoder_dim):
    published = json.loads((REFERENCE / f"keys_{file}.json").read_text())["tensors"]
    with without_weights():
        parts = [LDMEncoder(LDMConfig(), encoder_dim), LDMDecoder(LDMConfig(), 64, 3)]
    found = Counter(tuple(value.shape) for part in parts for value in part.state_dict().values())
    expected = Counter(
        # Older files hold attention as 1x1 convolutions.
        tuple(tensor["shape"][:2] if "attn" in name else tensor["shape"])
        for name, tensor in published.items()
        if not name.startswith(("quantize.", "loss."))
    )
    assert found == expected


def test_weights_come_from_the_generator_alone():
    before = torch.random.get_rng_state()
    first, same, other = (TINY.build_encoder(16, 3, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(map(torch.equal, first.state_dict().values(), same.state_dict().values()))
    images = draw(1, 3, 16, 16)
    assert not torch.equal(first(images), other(images))


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"norm_groups": 5}, 16, "norm_groups 5 does not divide 8 channels"),
        ({}, 18, "image_size 18 is not a multiple of 4"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(changes, size, message):
    with pytest.raises(ValueError, match=message):
        LDMConfig(**{**dict(TINY), **changes}).check(size, 3)
