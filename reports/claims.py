"""Verdicts for display: comparisons in words and numbers, and small plots of their intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from experiments.records import Run
from experiments.records.estimates import Estimate
from experiments.records.verdicts import ComparisonResult, Outcome, Remedy, Verdict, judge, place
from experiments.specs import Claim
from reports.numbers import decimals_for, decimals_that_tell_zero, fixed, rough_duration

MARKS: dict[Outcome, str] = {"agrees": "✓", "disagrees": "✗", "inconclusive": "≈", "pending": "…"}
"""A symbol for each outcome, so that color is never the only difference."""


@dataclass(frozen=True)
class Interval:
    """An interval for a plot from -1 to 1; `low` and `high` are None for a single seed."""

    mean: float
    low: float | None
    high: float | None
    claimed_side: int
    """-1 if the claim is on the left half, +1 if on the right."""


@dataclass(frozen=True)
class Compared:
    """The texts of one comparison: its sides, and the differences in the paper and here; empty if unknown."""

    left: str
    right: str
    at: str
    """The coordinates that both sides share, e.g. `T=8`."""
    published: str
    difference: str
    interval: str
    plot: Interval | None
    result: ComparisonResult


def by_claim(run: Run) -> list[tuple[Claim, list[Verdict]]]:
    """The claims of a run with their verdicts, the one in the primary feature space first."""
    return [(claim, list(verdicts)) for claim, verdicts in groupby(judge(run), key=lambda each: each.claim)]


def compared(run: Run, verdict: Verdict) -> list[Compared]:
    """The comparisons of a verdict, with equal decimals and plots on one scale."""
    known = [item.difference for item in verdict.comparisons if item.difference]
    ends = [end for item in known for end in _ends(item)]
    decimals = decimals_that_tell_zero(decimals_for(known), [*(item.mean for item in known), *ends])
    reach = max((abs(end) for end in ends if math.isfinite(end)), default=0.0) or 1.0
    return [_compared(run, item, decimals, reach) for item in verdict.comparisons]


def found(run: Run, verdict: Verdict) -> str:
    """The differences of a verdict in one line; empty if there are none yet."""
    parts = (f"{item.difference} {item.interval}".strip() for item in compared(run, verdict))
    return "; ".join(filter(None, parts))


def tally(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """Number of claims per outcome in the primary feature space; outcomes without claims are left out."""
    counts = Counter(verdict.outcome for verdict in verdicts if verdict.primary)
    return {outcome: counts[outcome] for outcome in MARKS if counts[outcome]}


def remedy_of(verdicts: Sequence[Verdict]) -> Remedy | None:
    """The remedy for claims that lack seeds in the primary feature space; None if there are none."""
    return next((verdict.remedy for verdict in verdicts if verdict.primary and verdict.remedy), None)


def remedy_words(remedy: Remedy) -> str:
    """The cost of a remedy, e.g. `3 seeds, about 20 min more`."""
    cost = "time unknown" if remedy.seconds is None else f"{rough_duration(remedy.seconds)} more"
    return f"{remedy.seeds} seeds, {cost}"


def sentence(reason: str) -> str:
    """Turn a reason into a sentence."""
    return f"{reason[0].upper()}{reason[1:]}."


def _ends(item: Estimate) -> tuple[float, ...]:
    return (item.mean,) if item.low is None or item.high is None else (item.low, item.high)


def _compared(run: Run, item: ComparisonResult, decimals: int, reach: float) -> Compared:
    estimate, interval, plot = item.difference, "", None
    if estimate and estimate.low is not None and estimate.high is not None:
        ends = (fixed(end, decimals, signed=True) for end in (estimate.low, estimate.high))
        interval = f"[{', '.join(ends)}]"
    if estimate and math.isfinite(estimate.mean):
        low, high = (None if end is None else end / reach for end in (estimate.low, estimate.high))
        plot = Interval(estimate.mean / reach, low, high, -1 if item.comparison.sign == "<" else 1)
    difference = fixed(estimate.mean, decimals, signed=True) if estimate else ""
    return Compared(*_sides(run, item), _published(run, item), difference, interval, plot, item)


def _sides(run: Run, item: ComparisonResult) -> tuple[str, str, str]:
    """The two sides in words, and the coordinates that both share."""
    points = (item.comparison.left, item.comparison.right)
    left, right = (point.coordinates for point in points)
    shared = {key: value for key, value in left.items() if right.get(key) == value}
    sides = []
    for point in points:
        own = {key: value for key, value in point.coordinates.items() if key not in shared}
        differs = points[0].metric != points[1].metric
        parts = (run.label(point.row), run.metric(point.metric).label if differs else "", place(own))
        sides.append(", ".join(filter(None, parts)))
    return sides[0], sides[1], place(shared)


def _published(run: Run, item: ComparisonResult) -> str:
    """The difference in the paper, whose values apply only at the headline's number of steps."""
    values = []
    for point in (item.comparison.left, item.comparison.right):
        if point.coordinates not in ({}, {"steps": run.experiment.steps_of(point.row)}):
            return ""
        values.append(run.experiment.row(point.row).published.get(point.metric))
    left, right = values
    return "" if left is None or right is None else fixed(left - right, 2, signed=True)
