"""The curve that a training leaves in its folder, a line of JSON every few steps."""

from __future__ import annotations

import json
from pathlib import Path

from experiments.store import METRICS


def logged(folder: Path, quantity: str) -> list[tuple[int, float]]:
    """`(step, value)` of the lines of a curve that have the quantity; none where nothing is logged yet."""
    try:
        lines = (folder / METRICS).read_text().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            values = json.loads(line)
        except ValueError:
            # Torn by a full disk or a kill; the training cuts it off when it goes on.
            continue
        if quantity in values:
            found.append((values["step"], values[quantity]))
    return found
