from __future__ import annotations

from functools import partial

import pytest
import torch
from einops import rearrange
from small_models import seeded
from torch.testing import assert_close

from sftok.decoding.schedule import DecodingConfig
from sftok.decoding.unmask import iterative_unmask
from sftok.losses.masked_cross_entropy import masked_cross_entropy


def as_tokens(released):
    return rearrange(released, "b d 1 k -> b k d")


@pytest.fixture
def latents(sftok_numbers):
    return as_tokens(sftok_numbers["out.encoder"])


@pytest.fixture
def quantized(sftok_numbers):
    return as_tokens(sftok_numbers["out.quantized_nearest"])


assert_parity = partial(assert_close, atol=1e-4, rtol=1e-4)


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
