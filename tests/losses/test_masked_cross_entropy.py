from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from small_models import draw, seeded
from torch.testing import assert_close

from sftok.losses.masked_cross_entropy import masked_cross_entropy


@st.composite
def cases(drawn):
    """Logits, targets and a mask of some share of the positions."""
    shape, vocabulary = (drawn(st.integers(1, 4)), drawn(st.integers(1, 9))), drawn(st.integers(2, 12))
    seed = drawn(st.integers(0, 2**31))
    logits = drawn(st.sampled_from([0.1, 1.0, 30.0])) * draw(*shape, vocabulary, seed=seed)
    targets = torch.randint(vocabulary, shape, generator=seeded(seed))
    return logits, targets, torch.rand(shape, generator=seeded(seed + 1)) < drawn(st.floats(0, 1))


def plain(logits, targets, **options):
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten(), **options)


def test_known_value():
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])
    mask = torch.tensor([[True, False]])
    expected = (math.log(2) + 0.1 * math.log(4 / 3)) / 1.1
    loss = masked_cross_entropy(logits, torch.zeros(1, 2, dtype=torch.int64), mask)
    assert loss.item() == pytest.approx(expected)


@given(cases(), st.floats(0, 0.5))
def test_it_is_plain_cross_entropy_where_all_positions_count_alike(case, smoothing):
    logits, targets, mask = case
    expected = plain(logits, targets, label_smoothing=smoothing)
    for counted, weight in ((torch.ones_like(mask), 0.1), (mask, 1.0)):
        loss = masked_cross_entropy(logits, targets, counted, weight, label_smoothing=smoothing)
        assert_close(loss, expected)


@given(cases())
def test_weight_zero_ignores_visible_positions_and_is_zero_if_there_are_no_others(case):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits.requires_grad_(), targets, mask, unmasked_weight=0.0)
    assert_close(loss, plain(logits[mask], targets[mask]) if mask.any() else torch.tensor(0.0))
    loss.backward()
    assert not logits.grad[~mask].any()


def test_bfloat16_logits_give_a_float32_loss():
    logits, targets, mask = draw(3, 5, 7), torch.arange(15).view(3, 5) % 7, draw(3, 5) < 0
    with torch.autocast("cpu", torch.bfloat16):
        loss = masked_cross_entropy(logits.bfloat16(), targets, mask)
    assert loss.dtype == torch.float32
    assert_close(loss, masked_cross_entropy(logits, targets, mask), atol=0.02, rtol=0.02)


@given(cases(), st.floats(0, 1), st.floats(-50, 50))
def test_a_shift_of_all_logits_and_a_repeated_batch_change_nothing(case, weight, shift):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits, targets, mask, weight)
    assert torch.isfinite(loss)
    assert loss >= 0
    assert_close(masked_cross_entropy(logits + shift, targets, mask, weight), loss, atol=1e-3, rtol=1e-3)
    twice = masked_cross_entropy(logits.repeat(2, 1, 1), targets.repeat(2, 1), mask.repeat(2, 1), weight)
    assert_close(twice, loss, atol=1e-4, rtol=1e-4)


@given(cases(), st.floats(0.01, 1))
def test_the_loss_lies_between_that_of_masked_and_of_seen_positions(case, weight):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits, targets, mask, weight)
    masked, seen = (masked_cross_entropy(logits, targets, each, 0.0) for each in (mask, ~mask))
    if mask.any() and not mask.all():
        assert min(masked, seen) - 1e-4 <= loss <= max(masked, seen) + 1e-4
