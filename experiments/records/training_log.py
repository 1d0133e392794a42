"""Training logs: files with one JSON object per line, written every few steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.store import METRICS, StoreError


def log_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines of a finished training's log; none if there is no log, as for a given teacher.

    Raises:
        StoreError: a line is damaged; the message names the file.
    """
    path = folder / METRICS
    for number, line in enumerate(_lines(path), 1):
        values = _parsed(line)
        if values is None:
            raise StoreError(f"{path}: line {number} is damaged; delete {folder} and run again")
        yield values


def logged(folder: Path, quantity: str, most_lines: int | None = None) -> list[tuple[int, float]]:
    """`(step, value)` pairs from the log of a training, finished or not, in the order of steps.

    Damaged lines, such as the last one of a killed training, are skipped. If a step was logged again after
    resuming, its last value counts.

    Args:
        folder: folder of the artifact.
        quantity: name of the quantity in the log.
        most_lines: if the log has more lines, only every k-th line is read.
    """
    lines = _lines(folder / METRICS)
    every = 1 + len(lines) // most_lines if most_lines else 1
    found = {}
    for values in filter(None, map(_parsed, lines[::every])):
        if isinstance(value := values.get(quantity), int | float):
            found[values["step"]] = float(value)
    return sorted(found.items())


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and isinstance(values.get("step"), int) else None
