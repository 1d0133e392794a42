from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from sftok.quantizers.vq import VQ, VQConfig


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def quantizer() -> VQ:
    return VQConfig(codebook_size=32).build(6)


def test_training_and_evaluation_assign_alike(quantizer):
    latents = draw(3, 4, 6)
    ids = quantizer.train()(latents).ids
    assert torch.equal(quantizer.eval()(latents).ids, ids)
    assert torch.equal(quantizer.assign(latents), ids)


def test_the_nearest_direction_wins(quantizer):
    latents = draw(3, 4, 6)
    cosines = F.normalize(latents, dim=-1) @ F.normalize(quantizer.embedding, dim=-1).t()
    assert torch.equal(quantizer.assign(latents), cosines.argmax(-1))


def test_quantized_is_the_lookup_of_ids(quantizer):
    out = quantizer(draw(3, 4, 6))
    assert_close(out.quantized, quantizer.lookup(out.ids))
    assert torch.equal(quantizer.assign(quantizer.lookup(out.ids)), out.ids)


def test_only_chosen_codes_get_a_gradient(quantizer):
    out = quantizer(draw(1, 3, 6))
    out.loss.backward()
    touched = quantizer.embedding.grad.abs().sum(1).nonzero().flatten()
    assert torch.equal(touched, out.ids.unique())
