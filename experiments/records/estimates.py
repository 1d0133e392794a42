"""Means over seeds with their 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""The level of every interval in the harness."""


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values. `half_width` is half the interval's width.

    It is None if there is no interval: for a single value, and if a value is not finite.
    """

    n: int
    mean: float
    half_width: float | None

    @property
    def low(self) -> float | None:
        """The lower end of the interval."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The upper end of the interval."""
        return None if self.half_width is None else self.mean + self.half_width


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student t interval of independent `values`; the width is exactly 0 if they are all equal.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("an estimate needs at least one value")
    n = len(values)
    # fsum is exact before its one rounding, so the order of the seeds cannot show.
    mean = math.fsum(values) / n if all(map(math.isfinite, values)) else math.nan
    if n < 2 or math.isnan(mean):
        return Estimate(n, values[0] if n == 1 else mean, None)
    if min(values) == max(values):  # a row that no seed changes, such as the teacher's
        return Estimate(n, values[0], 0.0)
    # SciPy takes a third of a second to import, and a single seed does not need it.
    from scipy.special import stdtrit

    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Estimate(n, mean, quantile * math.sqrt(variance / n))
