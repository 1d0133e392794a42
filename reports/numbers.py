"""Formats numbers with significant digits and a true minus sign, and durations and sizes for reading."""

from __future__ import annotations

import math
from collections.abc import Iterable

from experiments.records.verdicts import Estimate

MINUS = "−"


def decimals_for(estimates: Iterable[Estimate]) -> int:
    """The number of decimals for a whole column: about three digits, and enough to show each interval.

    In a column of small numbers the largest keeps two digits, up to five decimals, so that a difference does
    not read as zero.
    """
    listed = list(estimates)
    magnitudes = [abs(item.mean) for item in listed if math.isfinite(item.mean)]
    largest = max(magnitudes, default=0.0)
    decimals = 1 if largest >= 100 else 2 if largest >= 1 else 3
    if 0 < largest < 0.01:
        decimals = min(1 + math.ceil(-math.log10(largest)), 5)
    widths = [item.half_width for item in listed if item.half_width]
    needed = max((math.ceil(-math.log10(width)) for width in widths), default=0)
    return max(decimals, min(needed, 4))


def decimals_that_tell_zero(decimals: int, values: Iterable[float]) -> int:
    """`decimals`, increased up to five if a nonzero value would otherwise read as zero."""
    small = min((abs(value) for value in values if value and math.isfinite(value)), default=1.0)
    while decimals < 5 and not float(f"{small:.{decimals}f}"):
        decimals += 1
    return decimals


def fixed(value: float, decimals: int, signed: bool = False) -> str:
    """Format `value` with that many decimals; `signed` also shows a plus."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    return text.replace("-", MINUS)


def plus_minus(item: Estimate, decimals: int) -> str:
    """Format as `2.18 ± 0.04`, or only the mean if there is no interval or it has no width."""
    mean = fixed(item.mean, decimals)
    return mean if not item.half_width else f"{mean} ± {fixed(item.half_width, decimals)}"


def duration(seconds: float) -> str:
    """Format a duration: `8.2 s`, `12 min 05 s`, `3 h 20 min` or `2 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def rough_duration(seconds: float) -> str:
    """Format an estimated duration: `under a minute`, `about 12 min`, `about 7 years`."""
    if seconds < 60:
        return "under a minute"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"about {seconds / 3600:.1f}".removesuffix(".0") + " h"
    if seconds < 2 * 365 * 86400:
        return f"about {seconds / 86400:.1f}".removesuffix(".0") + " d"
    return f"about {seconds / (365 * 86400):,.0f} years"


def byte_size(n_bytes: float) -> str:
    """Format a size: `512 MB`, `1.9 GB`."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
