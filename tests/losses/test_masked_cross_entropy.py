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


@pytest.mark.parametrize(
    ("everywhere", "options", "same"),
    [
        (True, {}, {}),
        (False, {"unmasked_weight": 1.0}, {}),
        (True, {"label_smoothing": 0.1}, {"label_smoothing": 0.1}),
    ],
    ids=["everything masked", "equal weights", "label smoothing"],
)
def test_it_is_plain_cross_entropy_where_all_positions_count_alike(case, everywhere, options, same):
    logits, targets, mask = case
    loss = masked_cross_entropy(logits, targets, mask | everywhere, **options)
    assert_close(loss, plain(logits, targets, **same))


def test_weight_zero_ignores_visible_positions(case):
    logits, targets, mask = case
    logits.requires_grad_()
    loss = masked_cross_entropy(logits, targets, mask, unmasked_weight=0.0)
    assert_close(loss, plain(logits[mask][None], targets[mask][None]))
    loss.backward()
    assert logits.grad[~mask].abs().max() == 0


def test_the_loss_is_zero_and_not_nan_without_any_weight(case):
    logits, targets, mask = case
    assert masked_cross_entropy(logits, targets, torch.zeros_like(mask), unmasked_weight=0.0) == 0


def test_bfloat16_logits_give_a_float32_loss(case):
    logits, targets, mask = case
    with torch.autocast("cpu", torch.bfloat16):
        loss = masked_cross_entropy(logits.bfloat16(), targets, mask)
    assert loss.dtype == torch.float32
    assert_close(loss, masked_cross_entropy(logits, targets, mask), atol=0.02, rtol=0.02)
