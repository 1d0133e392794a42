"""The message for a device or machine that runs out of memory."""

from __future__ import annotations

import re
import sys

_WANTED = re.compile(r"ried to allocate ([\d.]+ \w+)")


def out_of_memory(error: Exception) -> str | None:
    """One line with the remedy if `error` is a lack of memory; None for other errors."""
    # A failure without torch should not wait for its import.
    if sys.modules.get("torch") is None:
        return None
    from sftok.device import is_out_of_memory

    if not is_out_of_memory(error):
        return None
    wanted = _WANTED.search(str(error))
    return (
        f"out of memory{f' (no room for {wanted[1]})' if wanted else ''}; in training, halve its batch_size "
        "and double its gradient_accumulation (`show` lists the keys); elsewhere, lower evaluation.batch_size"
    )
