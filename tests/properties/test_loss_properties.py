from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from sftok.losses.masked_cross_entropy import masked_cross_entropy


@st.composite
def cases(draw):
    batch, length, vocabulary = draw(st.integers(1, 4)), draw(st.integers(1, 9)), draw(st.integers(2, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    logits = draw(st.sampled_from([0.1, 1.0, 30.0])) * torch.randn(
        batch, length, vocabulary, generator=generator
    )
    targets = torch.randint(vocabulary, (batch, length), generator=generator)
    mask = torch.rand(batch, length, generator=generator) < draw(st.floats(0, 1))
    return logits, targets, mask


@given(cases(), st.floats(0, 1), st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(case, weight, shift):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits, targets, mask, weight)
    assert torch.isfinite(loss)
    assert loss >= 0
    assert_close(masked_cross_entropy(logits + shift, targets, mask, weight), loss, atol=1e-3, rtol=1e-3)


@given(cases(), st.floats(0.01, 1))
def test_the_loss_lies_between_that_of_masked_and_of_seen_positions(case, weight):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits, targets, mask, weight)
    masked = masked_cross_entropy(logits, targets, mask, 0.0)
    seen = masked_cross_entropy(logits, targets, ~mask, 0.0)
    if mask.any() and not mask.all():
        assert min(masked, seen) - 1e-4 <= loss <= max(masked, seen) + 1e-4


@given(cases(), st.floats(0.01, 1))
def test_repeating_the_batch_changes_nothing(case, weight):
    logits, targets, mask = case
    twice = masked_cross_entropy(logits.repeat(2, 1, 1), targets.repeat(2, 1), mask.repeat(2, 1), weight)
    assert_close(twice, masked_cross_entropy(logits, targets, mask, weight), atol=1e-4, rtol=1e-4)
