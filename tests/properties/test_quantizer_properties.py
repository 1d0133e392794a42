from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from sftok.quantizers.optvq import OptVQConfig, sinkhorn
from sftok.quantizers.vq import VQConfig

seeds = st.integers(0, 2**31)
codebook_sizes = st.integers(2, 40)


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quantizers(size: int, l2: bool, seed: int):
    generator = torch.Generator().manual_seed(seed)
    yield OptVQConfig(codebook_size=size, use_l2_norm=l2).build(4, generator)
    yield VQConfig(codebook_size=size, use_l2_norm=l2).build(4, generator)


@given(codebook_sizes, st.booleans(), st.booleans(), seeds)
def test_quantized_is_the_lookup_of_ids_and_losses_are_not_negative(size, l2, training, seed):
    for quantizer in quantizers(size, l2, seed):
        out = quantizer.train(training)(draw(3, 5, 4, seed=seed))
        assert ((out.ids >= 0) & (out.ids < quantizer.codebook_size)).all()
        assert_close(out.quantized, quantizer.lookup(out.ids), atol=1e-5, rtol=1e-5)
        assert out.commitment_loss >= 0
        assert_close(out.commitment_loss, 0.25 * out.codebook_loss)
        assert_close(out.loss, out.commitment_loss + out.codebook_loss)


@given(codebook_sizes, st.booleans(), seeds)
def test_evaluation_commutes_with_the_order_of_images(size, l2, seed):
    latents = draw(6, 5, 4, seed=seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    for quantizer in quantizers(size, l2, seed):
        ids = quantizer.eval()(latents).ids
        assert torch.equal(quantizer(latents[order]).ids, ids[order])
        assert torch.equal(quantizer.assign(latents), ids)


@given(codebook_sizes, seeds, st.floats(0.01, 100))
def test_normalized_ids_do_not_depend_on_length(size, seed, scale):
    latents = draw(3, 5, 4, seed=seed)
    for quantizer in quantizers(size, True, seed):
        assert (quantizer.assign(latents) == quantizer.assign(scale * latents)).float().mean() > 0.9


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.1, 50), st.integers(1, 8), st.floats(-3, 8), seeds)
def test_a_plan_is_a_distribution_over_codes_for_every_latent(rows, codes, epsilon, iterations, scale, seed):
    distances = 10**scale * draw(rows, codes, seed=seed).abs()
    plan = sinkhorn(distances, epsilon, iterations)
    assert torch.isfinite(plan).all()
    assert (plan >= 0).all()
    assert_close(plan.sum(1), torch.ones(rows), atol=1e-4, rtol=0)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(-5, 5), seeds)
def test_a_plan_depends_neither_on_a_common_shift_nor_on_the_order(rows, codes, shift, seed):
    distances = draw(rows, codes, seed=seed).abs()
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    plan = sinkhorn(distances)
    assert_close(sinkhorn(distances + shift), plan, atol=1e-3, rtol=1e-3)
    assert_close(sinkhorn(distances[order]), plan[order], atol=1e-4, rtol=1e-3)
