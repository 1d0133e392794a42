"""Numbers of the authors' public implementation with random weights (see tests/data/reference)."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from einops import rearrange
from small_models import released, seeded
from torch import nn
from torch.testing import assert_close

from sftok.checkpoints.released import maskgit_vqgan, sftok
from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import iterative_unmask
from sftok.losses.masked_cross_entropy import masked_cross_entropy
from sftok.models.decoder import ViTDecoderConfig
from sftok.models.encoder import ViTEncoderConfig
from sftok.models.maskgit_vqgan import MaskGITVQGAN, VQGANConfig
from sftok.quantizers.optvq import OptVQConfig

assert_parity = partial(assert_close, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="session")
def released_sftok(sftok_numbers) -> nn.ModuleDict:
    """Encoder, quantizer and decoder; the tiny reference has no pixel decoder."""
    shape = {"width": 64, "depth": 2, "heads": 2}
    encoder = ViTEncoderConfig(patch_size=8, latent_layout="legacy", **shape).build(32, 4, 16)
    decoder = ViTDecoderConfig(**shape).build(4, 16, 16, 1024)
    quantizer = OptVQConfig(codebook_size=64).build(16)
    parts = nn.ModuleDict({"encoder": encoder, "quantizer": quantizer, "decoder": decoder})
    parts.load_state_dict(sftok.LAYOUTS[0].convert(released(sftok_numbers)))
    return parts.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def released_vqgan(vqgan_numbers) -> MaskGITVQGAN:
    shape = {"hidden_channels": 32, "channel_multipliers": (1, 2), "num_res_blocks": 1}
    vqgan = MaskGITVQGAN(VQGANConfig(**shape, code_dim=16, codebook_size=32), 32)
    vqgan.load_state_dict(maskgit_vqgan.LAYOUTS[0].convert(released(vqgan_numbers)))
    return vqgan.eval().requires_grad_(False)


def as_tokens(released):
    return rearrange(released, "b d 1 k -> b k d")


@pytest.fixture
def latents(sftok_numbers):
    return as_tokens(sftok_numbers["out.encoder"])


@pytest.fixture
def quantized(sftok_numbers):
    return as_tokens(sftok_numbers["out.quantized_nearest"])


def test_encoder(released_sftok, sftok_numbers, latents):
    assert_parity(released_sftok["encoder"](sftok_numbers["in.images"]), latents)


def test_sinkhorn_assignment_and_losses(released_sftok, sftok_numbers, latents):
    quantizer = released_sftok["quantizer"].train()
    out = quantizer(latents)
    quantizer.eval()
    ids = sftok_numbers["out.indices_sinkhorn"].squeeze(1)
    assert torch.equal(out.ids, ids)
    assert not torch.equal(ids, sftok_numbers["out.indices_nearest"])
    assert_parity(out.quantized, as_tokens(sftok_numbers["out.quantized_sinkhorn"]))
    assert_parity(out.loss, sftok_numbers["out.quantizer_loss_sinkhorn"])
    assert_parity(out.commitment_loss, sftok_numbers["out.commitment_loss_sinkhorn"])
    assert_parity(out.codebook_loss, sftok_numbers["out.codebook_loss_sinkhorn"])


def test_nearest_assignment(released_sftok, sftok_numbers, latents, quantized):
    out = released_sftok["quantizer"](latents)
    assert torch.equal(out.ids, sftok_numbers["out.indices_nearest"])
    assert_parity(out.quantized, quantized)


def test_logits(released_sftok, sftok_numbers, quantized):
    decoder = released_sftok["decoder"]
    logits = decoder(sftok_numbers["in.partially_masked_ids"], quantized)
    assert_parity(logits, sftok_numbers["out.logits_partially_masked"])
    all_masked = torch.full((6, 16), decoder.mask_id)
    assert_parity(decoder(all_masked, quantized), sftok_numbers["out.logits_all_masked"])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 12])
def test_iterative_decoding(released_sftok, sftok_numbers, quantized, steps):
    decoder, config = released_sftok["decoder"], DecodingConfig(steps=steps, temperature=0)
    unmasked = iterative_unmask(lambda ids, step: decoder(ids, quantized), 6, 16, 1024, config, seeded())
    assert torch.equal(unmasked.ids, sftok_numbers[f"out.generate_steps{steps}.ids"])
    assert_parity(unmasked.logits, sftok_numbers[f"out.generate_steps{steps}.last_logits"])


def test_masked_cross_entropy(sftok_numbers):
    names = ("out.logits_partially_masked", "in.target_ids", "in.loss_mask")
    loss = masked_cross_entropy(*(sftok_numbers[name] for name in names), unmasked_weight=0.1)
    assert_parity(loss, sftok_numbers["out.masked_ce"])


def test_vqgan_images_to_codes_and_pixels(released_vqgan, vqgan_numbers):
    images, ids = vqgan_numbers["in.images"], vqgan_numbers["out.ids"]
    assert_parity(released_vqgan.encoder(images), vqgan_numbers["out.hidden"])
    assert torch.equal(released_vqgan.encode(images), ids)
    assert_parity(released_vqgan.pixel_decoder.decode_codes(ids), vqgan_numbers["out.image"])


def test_vqgan_forward_in_evaluation_is_encode_then_decode(released_vqgan, vqgan_numbers):
    reconstruction, quantized = released_vqgan(vqgan_numbers["in.images"])
    assert torch.equal(quantized.ids, vqgan_numbers["out.ids"])
    assert_parity(reconstruction, vqgan_numbers["out.image"])
