from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.quantizers.optvq import OptVQ, OptVQConfig, sinkhorn

sizes = st.integers(1, 30)
seeds = st.integers(0, 2**31)


@pytest.fixture
def quantizer() -> OptVQ:
    return OptVQConfig(codebook_size=32).build(6).eval()


def test_sinkhorn_is_the_textbooks():
    distances = draw(20, 8).abs()
    plan = torch.exp(-10 * distances.double())
    for _ in range(5):
        plan = plan / plan.sum(0, keepdim=True) / 8
        plan = plan / plan.sum(1, keepdim=True)
    assert_close(sinkhorn(distances, 10.0, 5), plan.float(), atol=1e-5, rtol=1e-4)


def test_sinkhorn_spreads_evenly_given_time():
    assert_close(sinkhorn(draw(24, 8).abs(), 10.0, 200).sum(0), torch.full((8,), 3.0), atol=0.01, rtol=0)


@given(sizes, sizes, st.floats(0.1, 50), st.integers(1, 8), st.floats(-6, 8), seeds)
def test_a_plan_is_a_distribution_over_codes_at_any_scale(rows, codes, epsilon, iterations, scale, seed):
    plan = sinkhorn(10**scale * draw(rows, codes, seed=seed).abs(), epsilon, iterations)
    assert torch.isfinite(plan).all()
    assert (plan >= 0).all()
    assert_close(plan.sum(1), torch.ones(rows), atol=1e-4, rtol=0)


@given(sizes, sizes, st.floats(-5, 5), seeds)
def test_a_plan_depends_neither_on_a_common_shift_nor_on_the_order(rows, codes, shift, seed):
    distances, order = draw(rows, codes, seed=seed).abs(), torch.randperm(rows, generator=seeded(seed))
    plan = sinkhorn(distances)
    assert_close(sinkhorn(distances + shift), plan, atol=1e-3, rtol=1e-3)
    assert_close(sinkhorn(distances[order]), plan[order], atol=1e-4, rtol=1e-3)


def test_training_uses_codes_that_the_nearest_search_leaves_dead(quantizer):
    crowded = torch.ones(16, 4, 6) + 0.1 * draw(16, 4, 6)
    dead, alive = (quantizer.train(mode)(crowded).ids.unique().numel() for mode in (False, True))
    assert dead < 12
    assert alive > 2 * dead


def test_gradients_reach_latents_and_codebook(quantizer):
    latents = draw(3, 4, 6).requires_grad_()
    out = quantizer.train()(latents)
    (out.loss + out.quantized[..., 0].sum()).backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in (latents, *quantizer.parameters()))


def test_straight_through_gradient_is_that_of_the_normalized_latents(quantizer):
    latents, weight = draw(3, 4, 6).requires_grad_(), draw(3, 4, 6, seed=1)
    (through,) = torch.autograd.grad((quantizer(latents).quantized * weight).sum(), latents)
    (direct,) = torch.autograd.grad((F.normalize(latents, dim=-1) * weight).sum(), latents)
    assert_close(through, direct)
