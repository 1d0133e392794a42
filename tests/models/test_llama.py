from __future__ import annotations

import pytest
import torch
from small_models import draw, perturbed
from torch.testing import assert_close

from sftok.models.llama import (
    ROWS,
    KeyValueCache,
    LlamaBlock,
    RMSNorm,
    SwiGLU,
    attend_to_past,
    rotary_table,
    rotate,
)

SIDE, DIM = 3, 8
TABLE = rotary_table(SIDE, DIM)


def place(row: int, column: int) -> slice:
    position = 1 + row * SIDE + column
    return slice(position, position + 1)


def test_rotations_keep_lengths_and_know_distances_alone():
    query, key = draw(1, 1, 1, DIM), draw(1, 1, 1, DIM, seed=1)
    assert_close(rotate(query, TABLE[place(2, 1)]).norm(), query.norm())
    assert torch.equal(rotate(query, TABLE[place(0, 0)]), query)

    def product(one: slice, other: slice) -> torch.Tensor:
        return (rotate(query, TABLE[one]) * rotate(key, TABLE[other])).sum()

    assert_close(product(place(0, 0), place(1, 1)), product(place(1, 1), place(2, 2)))
    assert_close(product(place(0, 2), place(2, 1)), product(place(0, 1), place(2, 0)))
    assert (product(place(0, 0), place(1, 0)) - product(place(0, 0), place(0, 1))).abs() > 1e-3


def test_the_class_token_has_no_query_and_no_key():
    assert not rotate(draw(2, 3, 1, DIM), TABLE[:1]).any()


def test_the_norm_is_torchs():
    norm = perturbed(RMSNorm(16))
    theirs = torch.nn.RMSNorm(16, eps=1e-5)
    theirs.load_state_dict(norm.state_dict())
    tokens = draw(4, 16)
    assert_close(norm(tokens), theirs(tokens), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("width", "hidden"), [(64, 256), (96, 256), (1024, 2816)])
def test_the_hidden_width_is_rounded_up(width, hidden):
    with torch.device("meta"):
        assert SwiGLU(width).w1.out_features == hidden


@pytest.mark.parametrize("length", [1, 2, ROWS - 1, ROWS, 40])
def test_attention_is_torchs_causal_attention(length):
    query, key, value = (draw(2, 3, length, DIM, seed=seed) for seed in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert_close(attend_to_past(query, key, value), expected)


def test_a_block_with_its_cache_gives_the_bits_of_the_whole_sequence():
    block = perturbed(LlamaBlock(16, 2)).requires_grad_(False)
    tokens, table = draw(ROWS, 1 + SIDE**2, 16), TABLE
    whole = block(tokens, table)
    cache = KeyValueCache(len(table))
    for position in range(len(table)):
        here = slice(position, position + 1)
        found = block(tokens[:, here], table[here], start=position, cache=cache)
        assert torch.equal(found, whole[:, here]), position
