from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from sftok.quantizers.base import nearest
from sftok.quantizers.optvq import OptVQ, OptVQConfig, sinkhorn


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def quantizer() -> OptVQ:
    return OptVQConfig(codebook_size=32).build(6).eval()


def textbook_sinkhorn(distances: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    plan = torch.exp(-epsilon * distances.double())
    for _ in range(iterations):
        plan = plan / plan.sum(0, keepdim=True) / plan.shape[1]
        plan = plan / plan.sum(1, keepdim=True)
    return plan.float()


def test_sinkhorn_is_the_textbooks():
    distances = draw(20, 8).abs()
    assert_close(sinkhorn(distances, 10.0, 5), textbook_sinkhorn(distances, 10.0, 5), atol=1e-5, rtol=1e-4)


def test_sinkhorn_spreads_evenly_given_time():
    plan = sinkhorn(draw(24, 8).abs(), 10.0, 200)
    assert_close(plan.sum(1), torch.ones(24))
    assert_close(plan.sum(0), torch.full((8,), 3.0), atol=0.01, rtol=0)


def test_sinkhorn_of_equal_distances_is_uniform():
    assert_close(sinkhorn(torch.full((4, 8), 3.0)), torch.full((4, 8), 1 / 8))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e3, 1e8])
def test_sinkhorn_is_finite_at_any_scale(scale):
    plan = sinkhorn(scale * draw(16, 8).abs())
    assert torch.isfinite(plan).all()
    assert_close(plan.sum(1), torch.ones(16))


def test_sinkhorn_stays_in_float32_under_autocast():
    distances = draw(16, 8).abs()
    with torch.autocast("cpu", torch.bfloat16):
        plan = sinkhorn(distances)
    assert torch.equal(plan, sinkhorn(distances))


def test_quantized_is_the_lookup_of_ids(quantizer):
    out = quantizer(draw(3, 4, 6))
    assert out.ids.shape == (3, 4)
    assert_close(out.quantized, quantizer.lookup(out.ids))


def test_codes_are_their_own_nearest(quantizer):
    ids = torch.arange(32).view(4, 8)
    assert torch.equal(quantizer.assign(quantizer.lookup(ids)), ids)


def test_evaluation_assigns_the_nearest_code_whatever_the_batch(quantizer):
    latents = draw(6, 4, 6)
    ids = quantizer(latents).ids
    assert torch.equal(ids, nearest(F.normalize(latents, dim=-1), quantizer.codebook()))
    assert torch.equal(quantizer(latents[2:3]).ids, ids[2:3])
    assert torch.equal(quantizer.train().assign(latents), ids)


def test_training_uses_codes_that_the_nearest_search_leaves_dead(quantizer):
    crowded = torch.ones(16, 4, 6) + 0.1 * draw(16, 4, 6)
    dead = quantizer.eval()(crowded).ids.unique().numel()
    alive = quantizer.train()(crowded).ids.unique().numel()
    assert dead < 12
    assert alive > 2 * dead


def test_gradients_reach_latents_and_codebook(quantizer):
    latents = draw(3, 4, 6).requires_grad_()
    out = quantizer.train()(latents)
    (out.loss + out.quantized[..., 0].sum()).backward()
    for tensor in (
        latents,
        quantizer.embedding,
        quantizer.shared_linear.weight,
        quantizer.shared_linear.bias,
    ):
        assert tensor.grad.abs().sum() > 0


def test_straight_through_gradient_is_that_of_the_normalized_latents(quantizer):
    latents, weight = draw(3, 4, 6).requires_grad_(), draw(3, 4, 6, seed=1)
    (through,) = torch.autograd.grad((quantizer(latents).quantized * weight).sum(), latents)
    (direct,) = torch.autograd.grad((F.normalize(latents, dim=-1) * weight).sum(), latents)
    assert_close(through, direct)


def test_without_l2_norm_distances_are_plain():
    quantizer = OptVQConfig(codebook_size=3, use_l2_norm=False).build(2).eval()
    with torch.no_grad():
        quantizer.embedding.copy_(torch.tensor([[1.0, 0.0], [9.0, 0.0], [0.0, 1.0]]))
    assert quantizer.assign(torch.tensor([[[8.0, 0.0], [2.0, 0.0]]])).tolist() == [[1, 0]]


def test_autocast_changes_nothing(quantizer):
    latents = draw(3, 4, 6)
    plain = quantizer.train()(latents)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = quantizer(latents)
    assert torch.equal(mixed.ids, plain.ids)
    assert mixed.quantized.dtype == torch.float32
    assert torch.equal(mixed.loss, plain.loss)


def test_bfloat16_latents_are_accepted(quantizer):
    assert quantizer(draw(3, 4, 6).bfloat16()).quantized.dtype == torch.float32
