from __future__ import annotations

import pytest
import torch
from small_models import draw
from torch.testing import assert_close

from sftok.quantizers.base import commit, nearest, squared_distances
from sftok.quantizers.optvq import sinkhorn

LATENTS, CODEBOOK = draw(5, 3), draw(7, 3, seed=1)


def test_squared_distances_are_those_of_the_definition():
    expected = (LATENTS[:, None] - CODEBOOK[None]).square().sum(-1)
    assert_close(squared_distances(LATENTS, CODEBOOK), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "given"), [(squared_distances, (LATENTS, CODEBOOK)), (sinkhorn, (LATENTS.abs(),))]
)
def test_distances_and_plans_are_float32_under_autocast(function, given):
    with torch.autocast("cpu", torch.bfloat16):
        mixed = function(*given)
    assert torch.equal(mixed, function(*given))


def test_nearest_keeps_the_leading_dimensions():
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    latents = torch.tensor([[[0.9, 0.2], [0.1, 0.1]], [[0.2, 0.8], [2.0, 0.5]]])
    assert nearest(latents, codebook).tolist() == [[1, 0], [2, 1]]


def test_commit_known_losses():
    latents, codes = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[1.0, 0.0]]])
    out = commit(latents, codes, torch.zeros(1, 1, dtype=torch.int64), commitment_cost=0.25)
    assert (out.codebook_loss.item(), out.commitment_loss.item(), out.loss.item()) == (2.5, 0.625, 3.125)


def test_commit_sends_each_gradient_where_it_belongs():
    pair = draw(1, 2, 3).requires_grad_(), draw(1, 2, 3, seed=1).requires_grad_()
    out = commit(*pair, torch.zeros(1, 2, dtype=torch.int64), commitment_cost=0.25)
    assert_close(out.quantized, pair[1])
    total = (3 * out.quantized).sum()
    straight, none = torch.autograd.grad(total, pair, retain_graph=True, allow_unused=True)
    assert torch.equal(straight, torch.full_like(straight, 3))
    assert none is None
    pulled, pushed = torch.autograd.grad(out.loss, pair)
    assert_close(pulled, -0.25 * pushed)
