"""What holds for every quantizer with a codebook of vectors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.quantizers.optvq import OptVQConfig
from sftok.quantizers.vq import VQConfig

MEMBERS = (OptVQConfig, VQConfig)
seeds = st.integers(0, 2**31)


@st.composite
def quantizers(drawn, l2=(True, False)):
    size, normalize = drawn(st.integers(2, 40)), drawn(st.sampled_from(l2))
    config = drawn(st.sampled_from(MEMBERS))(codebook_size=size, use_l2_norm=normalize)
    return config.build(4, seeded(drawn(seeds)))


@given(quantizers(), st.booleans(), seeds)
def test_quantized_is_the_lookup_of_ids_and_losses_are_not_negative(quantizer, training, seed):
    out = quantizer.train(training)(draw(3, 5, 4, seed=seed))
    assert ((out.ids >= 0) & (out.ids < quantizer.codebook_size)).all()
    assert_close(out.quantized, quantizer.lookup(out.ids), atol=1e-5, rtol=1e-5)
    assert out.commitment_loss >= 0
    assert_close(out.commitment_loss, 0.25 * out.codebook_loss)
    assert_close(out.loss, out.commitment_loss + out.codebook_loss)


@given(quantizers(), seeds)
def test_evaluation_assigns_the_nearest_code_to_each_image_alone(quantizer, seed):
    latents, order = draw(6, 5, 4, seed=seed), torch.randperm(6, generator=seeded(seed))
    ids = quantizer.eval()(latents).ids
    points = F.normalize(latents, dim=-1) if quantizer.config.use_l2_norm else latents
    assert torch.equal(torch.cdist(points, quantizer.codebook()).argmin(-1), ids)
    assert torch.equal(quantizer(latents[order]).ids, ids[order])
    assert torch.equal(quantizer.train().assign(latents), ids)


@given(quantizers())
def test_every_code_is_its_own_nearest(quantizer):
    ids = torch.arange(quantizer.codebook_size)[None]
    assert torch.equal(quantizer.assign(quantizer.lookup(ids)), ids)


@given(quantizers(l2=(True,)), seeds, st.floats(0.01, 100))
def test_normalized_ids_do_not_depend_on_length(quantizer, seed, scale):
    latents = draw(3, 5, 4, seed=seed)
    assert (quantizer.assign(latents) == quantizer.assign(scale * latents)).float().mean() > 0.9


@pytest.mark.parametrize("member", MEMBERS)
def test_autocast_and_bfloat16_latents_leave_float32_alone(member):
    quantizer, latents = member(codebook_size=32).build(6).train(), draw(3, 4, 6)
    plain = quantizer(latents)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = quantizer(latents)
    assert torch.equal(mixed.ids, plain.ids)
    assert torch.equal(mixed.loss, plain.loss)
    assert mixed.quantized.dtype == quantizer(latents.bfloat16()).quantized.dtype == torch.float32


def test_plain_quantization_trains_as_it_evaluates_and_moves_only_chosen_codes():
    quantizer, latents = VQConfig(codebook_size=32).build(6).train(), draw(1, 3, 6)
    out = quantizer(latents)
    assert torch.equal(out.ids, quantizer.assign(latents))
    out.loss.backward()
    assert torch.equal(quantizer.embedding.grad.abs().sum(1).nonzero().flatten(), out.ids.unique())
