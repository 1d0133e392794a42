"""Bits per image, from what a row says of its tokens and codes."""

from __future__ import annotations

import math

import pytest
from stored_runs import SPECS

from experiments.records.rates import bits_published
from experiments.specs import Row


@pytest.mark.parametrize(
    ("row", "bits"),
    [
        ("vit-vqgan", 1024 * 13),
        ("mo-vqgan", 1024 * 10),
        ("imagefolder", 572 * 12),
        ("cosmos", 256 * math.log2(64_000)),
        ("sftok-l", 64 * 13),
    ],
)
def test_bits_are_tokens_times_the_bits_of_a_token(row: str, bits: float) -> None:
    assert bits_published(SPECS["table1"].row(row)) == pytest.approx(bits)


def test_a_row_that_does_not_say_its_codes_has_no_rate() -> None:
    assert bits_published(Row(name="a", label="A", trained=False, facts={"Token length": "64"})) is None
