"""Tail drop: a prefix stays, nothing else changes, and the draws come from the generator alone."""

from __future__ import annotations

import pytest
import torch
from small_models import draw, seeded

from sftok.quantizers.optvq import OptVQConfig
from sftok.quantizers.tail_drop import FirstTokens, TailDrop, first_tokens

K, DIM = 6, 4
LATENTS = draw(64, K, DIM, seed=2)
QUANTIZER = OptVQConfig(codebook_size=8).build(DIM, seeded(1)).eval()


def kept(quantized: torch.Tensor) -> torch.Tensor:
    return (quantized.abs().sum(-1) > 0).sum(1)


def test_a_prefix_stays_as_it_was_and_the_rest_is_zero() -> None:
    whole, dropped = QUANTIZER(LATENTS), TailDrop(QUANTIZER)(LATENTS, seeded())
    lengths = kept(dropped.quantized)
    assert set(lengths.tolist()) == set(range(1, K + 1))
    for image, length in enumerate(lengths):
        assert torch.equal(dropped.quantized[image, :length], whole.quantized[image, :length])
        assert not dropped.quantized[image, length:].any()
    assert torch.equal(dropped.ids, whole.ids)
    assert torch.equal(dropped.loss, whole.loss)


def test_the_generator_decides() -> None:
    drop = TailDrop(QUANTIZER)
    first, same, other = (drop(LATENTS, seeded(seed)).quantized for seed in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    with pytest.raises(ValueError, match="generator"):
        drop(LATENTS)


def test_dropped_tokens_give_no_gradient() -> None:
    points = LATENTS.clone().requires_grad_()
    dropped = TailDrop(QUANTIZER)(points, seeded())
    dropped.quantized.sum().backward()
    assert points.grad is not None
    assert torch.equal(points.grad.abs().sum(-1) > 0, dropped.quantized.abs().sum(-1) > 0)


@pytest.mark.parametrize("count", [1, 3, K])
def test_first_tokens_are_looked_up_alone(count: int) -> None:
    first = FirstTokens(QUANTIZER, count)
    ids = first.assign(LATENTS)
    assert torch.equal(ids, QUANTIZER.assign(LATENTS))
    assert torch.equal(first.lookup(ids), first_tokens(QUANTIZER.lookup(ids), count))
    assert set(kept(first.lookup(ids)).tolist()) == set(kept(first(LATENTS).quantized).tolist()) == {count}
    assert first.codebook_size == 8


def test_an_image_needs_a_token() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FirstTokens(QUANTIZER, 0)
