from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from sftok.losses.masked_cross_entropy import masked_cross_entropy


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=generator)
    targets = torch.randint(7, (3, 5), generator=generator)
    mask = torch.rand(3, 5, generator=generator) < 0.5
    return logits, targets, mask


def plain(logits, targets, **options):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **options)


def test_known_value():
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0]]])
    mask = torch.tensor([[True, False]])
    expected = (math.log(2) + 0.1 * math.log(4 / 3)) / 1.1
    loss = masked_cross_entropy(logits, torch.zeros(1, 2, dtype=torch.int64), mask)
    assert loss.item() == pytest.approx(expected)


def test_everything_masked_is_plain_cross_entropy(case):
    logits, targets, mask = case
    assert_close(masked_cross_entropy(logits, targets, torch.ones_like(mask)), plain(logits, targets))


def test_weight_one_ignores_the_mask(case):
    logits, targets, mask = case
    assert_close(masked_cross_entropy(logits, targets, mask, unmasked_weight=1.0), plain(logits, targets))


def test_weight_zero_ignores_seen_positions(case):
    logits, targets, mask = case
    logits.requires_grad_()
    loss = masked_cross_entropy(logits, targets, mask, unmasked_weight=0.0)
    assert_close(loss, plain(logits[mask][None], targets[mask][None]))
    loss.backward()
    assert logits.grad[~mask].abs().max() == 0


def test_no_weight_at_all_is_zero_not_nan(case):
    logits, targets, mask = case
    assert masked_cross_entropy(logits, targets, torch.zeros_like(mask), unmasked_weight=0.0) == 0


def test_label_smoothing_is_torchs(case):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits, targets, torch.ones_like(mask), label_smoothing=0.1)
    assert_close(loss, plain(logits, targets, label_smoothing=0.1))


def test_bfloat16_logits_give_a_float32_loss(case):
    logits, targets, mask = case
    with torch.autocast("cpu", torch.bfloat16):
        loss = masked_cross_entropy(logits.bfloat16(), targets, mask)
    assert loss.dtype == torch.float32
    assert_close(loss, masked_cross_entropy(logits, targets, mask), atol=0.02, rtol=0.02)
