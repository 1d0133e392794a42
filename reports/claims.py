"""Verdicts as they are shown: comparisons in words and numbers, and small plots of their intervals."""

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
"""A sign for each outcome, so that color is never the only difference."""


@dataclass(frozen=True)
class Interval:
    """An interval for a plot from -1 to 1 with zero in the middle; `low` and `high` are None for one seed."""

    mean: float
    low: float | None
    high: float | None
    claimed_side: int
    """-1 if the claim is about the left half, +1 if about the right."""


@dataclass(frozen=True)
class Compared:
    """One comparison in words: of what, in the paper, and here; texts without a number are empty."""

    left: str
    right: str
    at: str
    """Where both sides are measured, if it is the same place: `T=8`."""
    published: str
    difference: str
    interval: str
    plot: Interval | None
    result: ComparisonResult


def by_claim(run: Run) -> list[tuple[Claim, list[Verdict]]]:
    """The claims of a run with their verdicts, that in the primary feature space first."""
    return [(claim, list(verdicts)) for claim, verdicts in groupby(judge(run), key=lambda each: each.claim)]


def compared(run: Run, verdict: Verdict) -> list[Compared]:
    """The comparisons of a verdict, with equal decimals and plots of one scale."""
    known = [item.difference for item in verdict.comparisons if item.difference]
    ends = [end for item in known for end in _ends(item)]
    decimals = decimals_that_tell_zero(decimals_for(known), [*(item.mean for item in known), *ends])
    reach = max((abs(end) for end in ends if math.isfinite(end)), default=0.0) or 1.0
    return [_compared(run, item, decimals, reach) for item in verdict.comparisons]


def found(run: Run, verdict: Verdict) -> str:
    """The differences of a verdict in one line; empty if there is none yet."""
    parts = (f"{item.difference} {item.interval}".strip() for item in compared(run, verdict))
    return "; ".join(filter(None, parts))


def tally(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """How many claims have which verdict in the primary feature space; outcomes without any are left out."""
    counts = Counter(verdict.outcome for verdict in verdicts if verdict.primary)
    return {outcome: counts[outcome] for outcome in MARKS if counts[outcome]}


def remedy_of(verdicts: Sequence[Verdict]) -> Remedy | None:
    """What would decide the claims that lack seeds in the primary feature space; None if none does."""
    return next((verdict.remedy for verdict in verdicts if verdict.primary and verdict.remedy), None)


def remedy_words(remedy: Remedy) -> str:
    """`3 seeds, about 20 min more`: what a remedy takes, to be followed by its command."""
    cost = "for as yet unknown time" if remedy.seconds is None else f"{rough_duration(remedy.seconds)} more"
    return f"{remedy.seeds} seeds, {cost}"


def sentence(reason: str) -> str:
    """A reason as a sentence."""
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
    """The two sides in words, and where both are measured if it is the same place."""
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
    """The same difference in the paper, whose values hold at the headline's steps of their rows only."""
    values = []
    for point in (item.comparison.left, item.comparison.right):
        if point.coordinates not in ({}, {"steps": run.experiment.steps_of(point.row)}):
            return ""
        values.append(run.experiment.row(point.row).published.get(point.metric))
    left, right = values
    return "" if left is None or right is None else fixed(left - right, 2, signed=True)
