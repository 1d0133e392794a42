"""Tail drop: a prefix stays, nothing else changes, and the draws come from the generator alone."""

from __future__ import annotations

import pytest
import torch

from sftok.quantizers.optvq import OptVQ, OptVQConfig
from sftok.quantizers.tail_drop import FirstTokens, TailDrop, first_tokens

K, DIM = 6, 4


@pytest.fixture
def quantizer() -> OptVQ:
    return OptVQConfig(codebook_size=8).build(DIM, torch.Generator().manual_seed(1)).eval()


def latents(batch: int = 64) -> torch.Tensor:
    return torch.randn(batch, K, DIM, generator=torch.Generator().manual_seed(2))


def kept(quantized: torch.Tensor) -> torch.Tensor:
    return (quantized.abs().sum(-1) > 0).sum(1)


def test_a_prefix_stays_as_it_was_and_the_rest_is_zero(quantizer: OptVQ) -> None:
    whole = quantizer(latents())
    dropped = TailDrop(quantizer)(latents(), torch.Generator().manual_seed(0))
    lengths = kept(dropped.quantized)
    assert set(lengths.tolist()) == set(range(1, K + 1))
    for image, length in enumerate(lengths):
        assert torch.equal(dropped.quantized[image, :length], whole.quantized[image, :length])
        assert not dropped.quantized[image, length:].any()
    assert torch.equal(dropped.ids, whole.ids)
    assert torch.equal(dropped.loss, whole.loss)


def test_the_generator_decides(quantizer: OptVQ) -> None:
    drop = TailDrop(quantizer)
    first, second, third = (
        drop(latents(), torch.Generator().manual_seed(seed)).quantized for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    with pytest.raises(ValueError, match="generator"):
        drop(latents())


def test_dropped_tokens_give_no_gradient(quantizer: OptVQ) -> None:
    points = latents(8).requires_grad_()
    dropped = TailDrop(quantizer)(points, torch.Generator().manual_seed(0))
    dropped.quantized.sum().backward()
    assert points.grad is not None
    assert torch.equal(points.grad.abs().sum(-1) > 0, dropped.quantized.abs().sum(-1) > 0)


def test_its_weights_are_the_quantizers(quantizer: OptVQ) -> None:
    assert {id(each) for each in TailDrop(quantizer).parameters()} == {
        id(each) for each in quantizer.parameters()
    }


@pytest.mark.parametrize("count", [1, 3, K])
def test_first_tokens_are_looked_up_alone(quantizer: OptVQ, count: int) -> None:
    first = FirstTokens(quantizer, count)
    ids = first.assign(latents())
    assert torch.equal(ids, quantizer.assign(latents()))
    assert torch.equal(first.lookup(ids), first_tokens(quantizer.lookup(ids), count))
    assert set(kept(first.lookup(ids)).tolist()) == {count}
    assert torch.equal(kept(first(latents()).quantized), kept(first.lookup(ids)))
    assert first.codebook_size == 8


def test_an_image_needs_a_token(quantizer: OptVQ) -> None:
    with pytest.raises(ValueError, match="at least one"):
        FirstTokens(quantizer, 0)
