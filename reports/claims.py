"""The claims of the paper with what was found here, as text and small interval plots."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.records.quantities import place
from experiments.records.results import TableRun
from experiments.records.verdicts import ComparisonResult, Estimate, Outcome, Verdict
from experiments.spec import Claim
from reports.metrics import MetricInfo, metric_info
from reports.numbers import decimals_for, decimals_that_tell_zero, fixed

MARKS: dict[Outcome, str] = {"agrees": "✓", "disagrees": "✗", "inconclusive": "≈", "pending": "…"}
"""A sign for each outcome, so that colour is never the only difference."""


@dataclass(frozen=True)
class Interval:
    """An interval for a plot from -1 to 1 with zero in the middle; `low` and `high` are None for one seed."""

    mean: float
    low: float | None
    high: float | None
    claimed_side: int
    """-1 if the claim is about the left half, +1 if about the right."""


@dataclass(frozen=True)
class ComparisonView:
    """One comparison: whom, what the paper has, what was found."""

    better: str
    worse: str
    at: str
    """The number of steps, if it is the same on both sides: `T=8`."""
    published: str
    """The same difference in the paper's numbers; empty if it does not give both."""
    difference: str
    interval: str
    seeds: int
    outcome: Outcome
    reason: str
    plot: Interval | None


@dataclass(frozen=True)
class VerdictView:
    """A verdict in one feature space."""

    extractor: str
    primary: bool
    outcome: Outcome
    mark: str
    reason: str
    comparisons: tuple[ComparisonView, ...]

    @property
    def found(self) -> str:
        """The differences in one line, for the overview; empty if there is none yet."""
        parts = (f"{item.difference} {item.interval}".strip() for item in self.comparisons if item.difference)
        return "; ".join(parts)


@dataclass(frozen=True)
class ClaimView:
    """A claim with its verdicts, the primary feature space first."""

    claim: Claim
    metric: MetricInfo
    verdicts: tuple[VerdictView, ...]

    @property
    def headline(self) -> VerdictView:
        """The verdict in the primary feature space."""
        return self.verdicts[0]


def claim_views(run: TableRun, verdicts: tuple[Verdict, ...]) -> tuple[ClaimView, ...]:
    """The claims of a run in the spec's order, from the verdicts of `experiments.records.verdicts.judge`."""
    return tuple(
        ClaimView(
            claim=claim,
            metric=metric_info(claim.metric),
            verdicts=tuple(_verdict_view(run, verdict) for verdict in verdicts if verdict.claim == claim),
        )
        for claim in run.experiment.claims
    )


def _verdict_view(run: TableRun, verdict: Verdict) -> VerdictView:
    known = [item.difference for item in verdict.comparisons if item.difference]
    decimals = decimals_that_tell_zero(
        decimals_for(known), [number for item in known for number in (item.mean, *_ends(item))]
    )
    reach = max((abs(end) for item in known for end in _ends(item) if math.isfinite(end)), default=0.0)
    return VerdictView(
        extractor=verdict.extractor,
        primary=verdict.primary,
        outcome=verdict.outcome,
        mark=MARKS[verdict.outcome],
        reason=verdict.reason[0].upper() + verdict.reason[1:] + ".",
        comparisons=tuple(
            _comparison_view(run, verdict.claim, item, decimals, reach) for item in verdict.comparisons
        ),
    )


def _ends(item: Estimate) -> tuple[float, ...]:
    return (item.mean,) if item.low is None or item.high is None else (item.low, item.high)


def _comparison_view(
    run: TableRun, claim: Claim, item: ComparisonResult, decimals: int, reach: float
) -> ComparisonView:
    found = item.difference
    better, worse, at = _sides(run, claim, item)
    interval = ""
    if found and found.low is not None and found.high is not None:
        interval = f"[{fixed(found.low, decimals, signed=True)}, {fixed(found.high, decimals, signed=True)}]"
    return ComparisonView(
        better=better,
        worse=worse,
        at=at,
        published=_published_difference(run, claim, item),
        difference=fixed(found.mean, decimals, signed=True) if found else "",
        interval=interval,
        seeds=len(item.seeds),
        outcome=item.outcome,
        reason=item.reason,
        plot=_plot(found, reach, -1 if claim.lower_is_better else 1) if found else None,
    )


def _plot(found: Estimate, reach: float, claimed_side: int) -> Interval | None:
    if not math.isfinite(found.mean):
        return None
    scale = reach or 1.0
    low = None if found.low is None else found.low / scale
    high = None if found.high is None else found.high / scale
    return Interval(found.mean / scale, low, high, claimed_side)


def _sides(run: TableRun, claim: Claim, item: ComparisonResult) -> tuple[str, str, str]:
    points = (item.better, item.worse)
    labels = [run.experiment.row(point.row).label for point in points]
    metrics = [point.metric or claim.metric for point in points]
    differ = len(set(metrics)) > 1
    places = [place(metric, point.steps, named=differ) for metric, point in zip(metrics, points, strict=True)]
    if len(set(places)) == 1:
        return labels[0], labels[1], places[0]
    better, worse = (f"{label}, {at}" if at else label for label, at in zip(labels, places, strict=True))
    return better, worse, ""


def _published_difference(run: TableRun, claim: Claim, item: ComparisonResult) -> str:
    # The published values hold at the headline steps of their rows only.
    for point in (item.better, item.worse):
        if point.steps not in (None, run.experiment.steps_of(point.row)):
            return ""
    better, worse = (
        run.experiment.row(point.row).published.get(claim.metric) for point in (item.better, item.worse)
    )
    return "" if better is None or worse is None else fixed(better - worse, 2, signed=True)
