from __future__ import annotations

import torch
from small_models import draw
from torch.testing import assert_close

from sftok.decoding.cumulative import cumulative, cumulative_exactly


def test_integers_add_to_what_real_numbers_do():
    probabilities = (5 * draw(3, 4, 1000)).softmax(-1)
    found = cumulative_exactly(probabilities)
    assert found.dtype == torch.float32
    assert_close(found.double(), probabilities.double().cumsum(-1), atol=1e-6, rtol=0)
    assert torch.equal(cumulative(probabilities), probabilities.cumsum(-1)), "the CPU's numbers stay"


def test_they_never_fall_and_any_order_has_the_same_sum():
    probabilities = draw(2, 50_000, seed=1).softmax(-1)
    found = cumulative_exactly(probabilities)
    assert (found.diff() >= 0).all()
    assert torch.equal(cumulative_exactly(probabilities.flip(-1))[:, -1], found[:, -1])
