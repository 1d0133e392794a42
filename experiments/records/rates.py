"""Bits per image of a row, as published and at the profile of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.records.run import Run
    from experiments.specs import Row

TOKENS, CODES = "Token length", "#Code"
"""The facts of a row that say how many ids an image has, and how many codes there are."""


def bits_published(row: Row) -> float | None:
    """Bits per image of a row as the paper prints it; None where it does not say."""
    return _bits(row.facts)


def bits_here(run: Run, row: str) -> float | None:
    """Bits per image of a row at the profile of the run; None for a row that is not run."""
    return _bits(run.request.facts.get(row, {}))


def _bits(facts: Mapping[str, str]) -> float | None:
    """`1024 (16×16×4)` tokens of `1,024` codes are 10,240 bits."""
    tokens, codes = (re.match(r"[\d,]+", facts.get(name, "")) for name in (TOKENS, CODES))
    if tokens is None or codes is None:
        return None
    return int(tokens[0].replace(",", "")) * math.log2(int(codes[0].replace(",", "")))
