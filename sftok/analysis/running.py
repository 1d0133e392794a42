"""Running means of quantities by name and coordinates; any split and order of the data agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from torch import Tensor


class Number(NamedTuple):
    """A value, its metric, and the coordinates at which it was measured."""

    metric: str
    coordinates: Mapping[str, Any]
    value: float


class RunningMeans:
    """Sums and counts in double precision."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, tuple[tuple[str, Any], ...]], float] = {}
        self._counts: dict[tuple[str, tuple[tuple[str, Any], ...]], int] = {}

    def update(self, metric: str, values: Tensor, **coordinates: Any) -> None:
        """Add every entry of `values`."""
        key = (metric, tuple(coordinates.items()))
        self._sums[key] = self._sums.get(key, 0.0) + float(values.double().sum())
        self._counts[key] = self._counts.get(key, 0) + values.numel()

    def merge(self, other: Self) -> None:
        """Add the sums and counts of `other`."""
        for key, total in other._sums.items():
            self._sums[key] = self._sums.get(key, 0.0) + total
            self._counts[key] = self._counts.get(key, 0) + other._counts[key]

    def compute(self) -> list[Number]:
        """Return the mean of every quantity with at least one entry, in order of first appearance."""
        return [
            Number(metric, dict(coordinates), self._sums[metric, coordinates] / count)
            for (metric, coordinates), count in self._counts.items()
            if count
        ]
