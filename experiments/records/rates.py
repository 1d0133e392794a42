"""Bits per image of a row, as published and at a run's profile."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.records.run import Run
    from experiments.specs import Row

TOKENS, CODES = "Token length", "#Code"
"""Headings of a row's facts: the number of ids per image, and the number of codes."""


def bits_published(row: Row) -> float | None:
    """Bits per image of a row from the paper's facts; None if they are missing."""
    return _bits(row.facts)


def bits_here(run: Run, row: str) -> float | None:
    """Bits per image of a row at the run's profile; None for a row that is not run."""
    return _bits(run.request.facts.get(row, {}))


def _bits(facts: Mapping[str, str]) -> float | None:
    """Bits from facts: `1024 (16×16×4)` tokens with `1,024` codes make 10,240 bits."""
    tokens, codes = (re.match(r"[\d,]+", facts.get(name, "")) for name in (TOKENS, CODES))
    if tokens is None or codes is None:
        return None
    return int(tokens[0].replace(",", "")) * math.log2(int(codes[0].replace(",", "")))
