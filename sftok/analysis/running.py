"""Running means of per-position quantities, by name; any split and order of the data agree."""

from __future__ import annotations

from typing import Self

from torch import Tensor


class RunningMeans:
    """Sums and counts, in double precision."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def update(self, name: str, values: Tensor) -> None:
        """Add every entry of `values`."""
        self._sums[name] = self._sums.get(name, 0.0) + float(values.double().sum())
        self._counts[name] = self._counts.get(name, 0) + values.numel()

    def merge(self, other: Self) -> None:
        """Add what `other` has seen."""
        for name, total in other._sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + total
            self._counts[name] = self._counts.get(name, 0) + other._counts[name]

    def compute(self) -> dict[str, float]:
        """The mean of each quantity that has any entry."""
        return {name: self._sums[name] / count for name, count in self._counts.items() if count}
