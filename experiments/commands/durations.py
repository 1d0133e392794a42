"""Human-readable durations."""

from __future__ import annotations


def readable(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3.4 h`, `12 days`; `unknown` for None."""
    if seconds is None:
        return "unknown"
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.1f} {name}" if name == "h" else f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"
