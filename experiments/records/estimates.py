"""Means over seeds with 95 % confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
"""The confidence level of all intervals."""


@dataclass(frozen=True)
class Estimate:
    """A mean of `n` values and half the width of its interval.

    `half_width` is None if there is no interval: for a single value, or if a value is not finite.
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
        ValueError: `values` is empty.
    """
    if not values:
        raise ValueError("an estimate needs at least one value")
    n = len(values)
    # fsum rounds only once, so the order of the seeds has no effect.
    mean = math.fsum(values) / n if all(map(math.isfinite, values)) else math.nan
    if n < 2 or math.isnan(mean):
        return Estimate(n, values[0] if n == 1 else mean, None)
    if min(values) == max(values):  # a row that does not depend on the seed, such as the teacher's
        return Estimate(n, values[0], 0.0)
    # SciPy takes a third of a second to import, and a single seed does not need it.
    from scipy.special import stdtrit

    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Estimate(n, mean, quantile * math.sqrt(variance / n))
