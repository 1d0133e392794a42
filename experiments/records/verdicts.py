"""Verdicts: whether the measured rows support the paper's claims.

A comparison is paired over seeds: two rows with the same seed share data order and initialization, so that
they differ only in what the claim is about. The mean difference has a 95 % Student t interval. Multiple
comparisons are not corrected for; a claim needs all of its comparisons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, islice
from typing import TYPE_CHECKING, Literal

from experiments.records.estimates import Estimate, estimate
from experiments.records.frame import by_seed, select
from experiments.records.run import Run
from experiments.specs.claims import Claim, Comparison, Point

if TYPE_CHECKING:
    import pandas as pd

Outcome = Literal["agrees", "disagrees", "inconclusive", "pending"]

ENOUGH_SEEDS = 3
"""With fewer seeds, an interval is missing or too wide to decide anything."""


@dataclass(frozen=True)
class ComparisonResult:
    """One comparison of a claim in one feature space."""

    comparison: Comparison
    seeds: tuple[int, ...]
    """The seeds with a value on both sides, which are paired for the estimate."""
    difference: Estimate | None
    """The mean of left - right, in units of the metric."""
    outcome: Outcome
    reason: str

    @property
    def toward(self) -> float:
        """The mean difference, positive on the claimed side; -inf if there is none."""
        mean = -math.inf if self.difference is None else self.difference.mean
        return mean if self.difference is None or self.comparison.sign == ">" else -mean


@dataclass(frozen=True)
class Remedy:
    """A way to decide a claim that lacks seeds."""

    seeds: int
    """Total number of seeds after the remedy."""
    seconds: float | None
    """Estimated time for the missing seeds, from the finished ones; None if not known yet."""
    command: str


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim in one feature space."""

    claim: Claim
    extractor: str
    """The feature space; empty for metrics without a feature extractor."""
    primary: bool
    """Whether this is the feature space of the headline verdicts."""
    outcome: Outcome
    reason: str
    comparisons: tuple[ComparisonResult, ...]
    remedy: Remedy | None
    """Set for an inconclusive claim with too few seeds."""
    calibrated: bool = False
    """Whether the feature space is one of the calibrated judges."""
    spread: str = ""
    """If the calibrated judges differ, how many agree with the primary one: `in 3 of 4 spaces`."""

    @property
    def seeds(self) -> int:
        """The largest number of seeds in a comparison."""
        return max(len(item.seeds) for item in self.comparisons)


@lru_cache(maxsize=8)
def judge(run: Run) -> tuple[Verdict, ...]:
    """A verdict for each claim in each feature space, in the order of claims, with the primary space first.

    A claim agrees if all its comparisons do, and disagrees if any does; a comparison is pending while one of
    its rows has a seed that may still produce a value.
    """
    found: list[Verdict] = []
    for claim in run.experiment.claims:
        spaces = feature_spaces(run, claim.metric)
        found += _with_spread([_verdict(run, claim, space, primary=space == spaces[0]) for space in spaces])
    return tuple(found)


def _with_spread(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts on a claim; `spread` is set on the first one if the calibrated judges differ."""
    first, *others = verdicts
    outcomes = [verdict.outcome for verdict in verdicts if verdict.calibrated]
    if first.calibrated and len(set(outcomes)) > 1:
        same = outcomes.count(first.outcome)
        first = replace(first, spread=f"in {same} of {len(outcomes)} spaces")
    return [first, *others]


def feature_spaces(run: Run, metric: str) -> list[str]:
    """The feature spaces of a metric for display, the primary one first.

    The primary space is the best calibrated judge that has the metric or, without a calibration, the
    profile's. A request names the extractor (`classifier`), a number also the resolution (`classifier@28`).
    For a metric of features, the primary space comes first even before it is measured; other metrics have
    only the space "".
    """
    measured = select(run.frame, metric=metric)["extractor"]
    found = sorted(set(measured))
    if not run.metric(metric).of_features and not any(found):
        return [""]
    if judges := [space for space in run.judges.calibrated if space in found]:
        return [judges[0], *(space for space in found if space != judges[0])]
    primary = run.request.primary_extractor
    matching = [space for space in found if is_extractor(space, primary)]
    headline = matching[0] if len(matching) == 1 else primary
    return [headline, *(space for space in found if space != headline)]


def is_extractor(space: str, name: str) -> bool:
    """Whether the feature space belongs to the extractor `name`, at any resolution."""
    return space == name or re.match(rf"{re.escape(name)}[@: (/]", space) is not None


def compare(
    comparison: Comparison, left: Mapping[int, float], right: Mapping[int, float]
) -> ComparisonResult:
    """Judge one comparison from the values of its two sides by seed; only seeds on both sides are paired.

    The outcome is `agrees` if the interval of left - right lies entirely on the claimed side of zero and
    `disagrees` if it lies entirely on the other. A single pair, equal differences or a value that is not
    finite decide nothing.
    """
    seeds = tuple(sorted(left.keys() & right.keys()))
    differences = [left[seed] - right[seed] for seed in seeds]
    difference = estimate(differences) if differences else None
    outcome: Outcome = "inconclusive"
    if difference is None:
        outcome, reason = "pending", "no seed has a value on both sides yet"
    elif broken := [seed for seed, value in zip(seeds, differences, strict=True) if not math.isfinite(value)]:
        reason = f"{_seeds(broken)} gave a value that is not a finite number"
    elif difference.half_width is None:
        reason = f"one seed: no interval; the difference {_direction(difference.mean, comparison.sign)}"
    elif difference.half_width <= 1e-12 * max(abs(side[seed]) for side in (left, right) for seed in seeds):
        # Rounding alone spreads equal differences by about an epsilon of the values.
        reason = f"the same difference at all {len(seeds)} seeds: no spread to compute an interval from"
    else:
        outcome, reason = _judge_interval(difference, comparison.sign)
    if unpaired := sorted(left.keys() ^ right.keys()):
        reason += f" ({_seeds(unpaired)} missing on one side, left out)"
    return ComparisonResult(comparison, seeds, difference, outcome, reason)


def place(coordinates: Mapping[str, object]) -> str:
    """Format coordinates: `T=8`, `step 3, all positions`, `context own, 50% visible`."""
    words = {"steps": "T={}", "step": "step {}", "positions": "{} positions", "visible": "{:.0%} visible"}
    return ", ".join(words.get(key, key + " {}").format(value) for key, value in coordinates.items())


def _verdict(run: Run, claim: Claim, extractor: str, primary: bool) -> Verdict:
    results = tuple(_compare_rows(run, extractor, pair) for pair in claim.comparisons)
    outcome, reason = _combine(run, results)
    lacking = outcome == "inconclusive" and any(len(each.seeds) < ENOUGH_SEEDS for each in results)
    remedy = _remedy(run) if lacking and _depends_on_seed(run, claim) else None
    calibrated = extractor in run.judges.calibrated
    return Verdict(claim, extractor, primary, outcome, reason, results, remedy, calibrated)


def _lines(frame: pd.DataFrame, point: Point, extractor: str) -> pd.DataFrame:
    return select(frame, row=point.row, metric=point.metric, extractor=extractor, **point.coordinates)


def _compare_rows(run: Run, extractor: str, comparison: Comparison) -> ComparisonResult:
    points = (comparison.left, comparison.right)
    sides = [_lines(run.frame, point, extractor) for point in points]
    try:
        left, right = map(by_seed, sides)
    except ValueError as error:
        named = " or ".join(dict.fromkeys(_side(run, point) for point in points))
        reason = f"the coordinates of {named} are ambiguous: {error}"
        return replace(compare(comparison, {}, {}), outcome="inconclusive", reason=reason)
    if len(_protocols(run, sides)) > 1:
        reason = "not comparable: measured under different protocols or by different networks"
        return replace(compare(comparison, {}, {}), outcome="inconclusive", reason=reason)
    result = compare(comparison, left, right)
    rows = (comparison.left.row, comparison.right.row)
    states = [state for state in run.rows if state.row in rows]
    waiting = {state.seed for state in states if state.status in ("waiting", "running")}
    failed = {state.seed for state in states if state.status == "failed"} - left.keys() - right.keys()
    if waiting and result.difference:
        reason = f"{_seeds(waiting)} still to come; so far: {result.reason}"
    elif waiting:
        reason = "not measured yet"
    elif not result.seeds:
        reason = "no pair of values: " + _why_missing(run, rows)
    elif failed:
        return replace(result, reason=f"{result.reason} ({_seeds(failed)} failed, left out)")
    else:
        return result
    return replace(result, outcome="pending", reason=reason)


def _protocols(run: Run, sides: Iterable[pd.DataFrame]) -> set[str]:
    """The protocols of evaluations; those of analyses name settings that fit a row."""
    evaluations = {state.evaluation.key for state in run.rows}
    lines = (line for side in sides for line in zip(side["artifact"], side["protocol"], strict=True))
    return {protocol for artifact, protocol in lines if artifact in evaluations}


def _why_missing(run: Run, rows: Iterable[str]) -> str:
    for row in rows:
        states = run.states_of(row)
        if not states:
            return f"{run.label(row)} is not part of this run"
        if any(state.status == "failed" for state in states):
            return f"{run.label(row)} failed"
    return "the metric was not measured there in this feature space"


def _combine(run: Run, results: Sequence[ComparisonResult]) -> tuple[Outcome, str]:
    order: tuple[Outcome, ...] = ("disagrees", "pending", "inconclusive", "agrees")
    outcome = next(kind for kind in order if any(result.outcome == kind for result in results))
    if len(results) == 1:
        return outcome, results[0].reason
    decisive = [result for result in results if result.outcome == outcome]
    share = f"{len(decisive)} of {len(results)}"
    if len(decisive) == len(results):
        share = "both" if len(results) == 2 else f"all {len(results)}"
    if len({result.reason for result in decisive}) == 1:
        return outcome, f"{share} comparisons: {decisive[0].reason}"
    # The comparison that speaks most against the claim, in case only one reason is read.
    worst = min(decisive, key=lambda result: result.toward)
    sides = " against ".join(_side(run, point) for point in (worst.comparison.left, worst.comparison.right))
    return outcome, f"{share} comparisons, among them {sides}: {worst.reason}"


def _side(run: Run, point: Point) -> str:
    where = place(point.coordinates)
    return run.label(point.row) + (f" ({where})" if where else "")


def _judge_interval(difference: Estimate, sign: str) -> tuple[Outcome, str]:
    toward = difference.mean if sign == ">" else -difference.mean
    half_width = difference.half_width or 0.0
    within = f"the 95 % interval over {difference.n} seeds"
    if toward - half_width > 0:
        return "agrees", f"{within} lies on the claimed side"
    if toward + half_width < 0:
        return "disagrees", f"{within} lies on the other side"
    return "inconclusive", f"{within} contains zero; the mean {_direction(difference.mean, sign)}"


def _direction(difference: float, sign: str) -> str:
    if difference == 0:
        return "is zero"
    return "points the claimed way" if (difference < 0) == (sign == "<") else "points the other way"


def _seeds(seeds: Iterable[int]) -> str:
    numbers = sorted(seeds)
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _depends_on_seed(run: Run, claim: Claim) -> bool:
    """Whether a row of the claim is trained with the seed, unlike the teacher or released weights."""
    rows = {point.row for pair in claim.comparisons for point in (pair.left, pair.right)}
    stages = (stage for row in run.rows if row.row in rows for stage in row.training)
    return any(stage.kind != "teacher" for stage in stages)


def _remedy(run: Run) -> Remedy | None:
    """The same run with `ENOUGH_SEEDS` seeds; None if it has that many."""
    known = run.request.seeds
    missing = ENOUGH_SEEDS - len(known)
    if missing <= 0:
        return None
    seeds = [*known, *islice((seed for seed in count() if seed not in known), missing)]
    return Remedy(ENOUGH_SEEDS, _seconds_of_seeds(run, missing), run.request.command_for(seeds))


def _seconds_of_seeds(run: Run, number: int) -> float | None:
    """Estimated seconds for `number` more seeds, from the artifacts that depend on a row's training."""
    trained = {stage.name for row in run.rows for stage in row.training if stage.kind != "teacher"}
    for artifact in run.request.artifacts:
        if trained & set(artifact.inputs.values()):
            trained.add(artifact.name)
    seconds = [state.seconds for state in run.artifacts if state.name in trained]
    measured = [each for each in seconds if each is not None]
    if not measured or len(measured) < len(seconds):
        return None
    return math.fsum(measured) / len(run.request.seeds) * number
