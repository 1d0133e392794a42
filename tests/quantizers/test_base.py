from __future__ import annotations

import torch
from torch.testing import assert_close

from sftok.quantizers.base import commit, nearest, squared_distances


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_squared_distances_are_those_of_the_definition():
    latents, codebook = draw(5, 3), draw(7, 3, seed=1)
    expected = (latents[:, None] - codebook[None]).square().sum(-1)
    assert_close(squared_distances(latents, codebook), expected, atol=1e-5, rtol=1e-5)


def test_distances_are_float32_under_autocast():
    latents, codebook = draw(5, 3), draw(7, 3, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = squared_distances(latents, codebook)
    assert torch.equal(mixed, squared_distances(latents, codebook))


def test_nearest_keeps_the_leading_dimensions():
    codebook = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    latents = torch.tensor([[[0.9, 0.2], [0.1, 0.1]], [[0.2, 0.8], [2.0, 0.5]]])
    assert nearest(latents, codebook).tolist() == [[1, 0], [2, 1]]


def test_commit_known_losses():
    latents, codes = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[1.0, 0.0]]])
    out = commit(latents, codes, torch.zeros(1, 1, dtype=torch.int64), commitment_cost=0.25)
    assert out.codebook_loss.item() == 2.5
    assert out.commitment_loss.item() == 0.625
    assert out.loss.item() == 3.125


def test_commit_sends_each_gradient_where_it_belongs():
    latents, codes = draw(1, 2, 3).requires_grad_(), draw(1, 2, 3, seed=1).requires_grad_()
    out = commit(latents, codes, torch.zeros(1, 2, dtype=torch.int64), commitment_cost=0.25)
    assert_close(out.quantized, codes)
    straight, none = torch.autograd.grad(
        (out.quantized * 3).sum(), (latents, codes), retain_graph=True, allow_unused=True
    )
    assert torch.equal(straight, torch.full_like(latents, 3))
    assert none is None
    pulled, pushed = torch.autograd.grad(out.loss, (latents, codes))
    assert_close(pulled, -0.25 * pushed)
