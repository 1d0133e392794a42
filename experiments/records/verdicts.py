"""Whether the measured rows support what the paper claims.

A comparison is paired over seeds: row A and row B at the same seed share data order and initialisation,
so the difference of the two is what the claim is about. Its mean carries a 95 % Student t interval. No
correction for several comparisons is made; a claim needs every one of its comparisons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

from pydantic import model_validator
from scipy.special import stdtrit

from experiments.records.quantities import place
from experiments.records.results import ResultRow, TableRun
from experiments.spec import Claim, Comparison, Point
from sftok.config import Config

CONFIDENCE = 0.95
"""Level of every interval in the harness."""

FEATURE_METRICS = frozenset({"rfid", "gfid", "is", "kid", "precision", "recall"})
"""Metrics that mean nothing without the feature space they were computed in."""

Outcome = Literal["agrees", "disagrees", "inconclusive", "pending"]


class Estimate(Config):
    """A mean over seeds with its 95 % interval."""

    n: int
    mean: float
    half_width: float | None
    """Half the width of the interval; None where there is none (one value, or a value that is not finite)."""

    @property
    def low(self) -> float | None:
        """The interval's lower end."""
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        """The interval's upper end."""
        return None if self.half_width is None else self.mean + self.half_width


class ComparisonResult(Config):
    """One comparison of a claim under one extractor: the difference better - worse, in the metric's unit."""

    better: Point
    worse: Point
    seeds: tuple[int, ...]
    """The seeds at which both sides have a value: the pairs behind the estimate."""
    difference: Estimate | None
    outcome: Outcome
    reason: str

    @model_validator(mode="after")
    def _estimate_has_pairs(self) -> Self:
        if (self.difference.n if self.difference else 0) != len(self.seeds):
            raise ValueError("the estimate and the seeds disagree about the number of pairs")
        return self


class Verdict(Config):
    """What the rows say about one claim in one feature space."""

    claim: Claim
    extractor: str
    """Empty for metrics of pixels and codes."""
    primary: bool
    """True for the feature space that the profile named before any result: the headline."""
    outcome: Outcome
    reason: str
    comparisons: tuple[ComparisonResult, ...]


class Cells:
    """The values of a run by what they measure: (row, steps, metric, extractor) -> {seed: value}."""

    def __init__(self, rows: Iterable[ResultRow]) -> None:
        """Index `rows`.

        Raises:
            ValueError: two different values claim the same cell at the same seed (say, at two temperatures).
        """
        self._values: dict[tuple[str, int | None, str, str], dict[int, float]] = {}
        for row in rows:
            cell = self._values.setdefault((row.row, row.steps, row.metric, row.extractor), {})
            known = cell.setdefault(row.seed, row.value)
            if known != row.value and not (math.isnan(known) and math.isnan(row.value)):
                where = f"{row.table}/{row.row}, seed {row.seed}, T={row.steps}, {row.metric} {row.extractor}"
                raise ValueError(f"two values for one cell ({where.strip()}): {known} and {row.value}")

    def values(self, row: str, steps: int | None, metric: str, extractor: str) -> dict[int, float]:
        """The values by seed; a metric that does not depend on T answers at every T."""
        at_steps = self._values.get((row, steps, metric, extractor))
        return at_steps or self._values.get((row, None, metric, extractor), {})

    def extractors(self, metric: str) -> list[str]:
        """Feature spaces in which the metric was measured, sorted."""
        return sorted({extractor for _, _, name, extractor in self._values if name == metric})

    def feature_spaces(self, metric: str, primary: str) -> list[str]:
        """The feature spaces of a metric for display, that of the extractor `primary` first.

        A profile names an extractor (`classifier`), a row its resolution too (`classifier@28`). A metric of
        features that was not measured in the primary space yet has it in front nevertheless; a metric of
        pixels or codes has the one space "".
        """
        found = self.extractors(metric)
        if metric not in FEATURE_METRICS:
            return found or [""]
        matching = [space for space in found if is_extractor(space, primary)]
        headline = matching[0] if len(matching) == 1 else primary
        return [headline, *(space for space in found if space != headline)]

    def metrics(self) -> list[str]:
        """All metrics, sorted."""
        return sorted({metric for _, _, metric, _ in self._values})

    def steps(self, metric: str, extractor: str) -> list[int]:
        """The numbers of decoding steps at which the metric was measured, ascending."""
        found = {steps for _, steps, name, space in self._values if (name, space) == (metric, extractor)}
        return sorted(steps for steps in found if steps is not None)


def is_extractor(space: str, name: str) -> bool:
    """Whether the feature space is that of the extractor of that name, at whatever resolution."""
    return space == name or re.match(rf"{re.escape(name)}[@: (/]", space) is not None


def cells(run: TableRun) -> Cells:
    """The cells of a run, references (rows `teacher` and `real`) included."""
    measured = (result for row in run.rows for result in row.results)
    return Cells([*measured, *run.references])


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and Student t interval of independent `values`; the width is exactly 0 if they are all equal.

    Raises:
        ValueError: no value.
    """
    if not values:
        raise ValueError("an estimate needs at least one value")
    n = len(values)
    # fsum is exact before its one rounding, so the order of the seeds cannot show.
    mean = math.fsum(values) / n if all(map(math.isfinite, values)) else math.nan
    if n < 2 or math.isnan(mean):
        return Estimate(n=n, mean=values[0] if n == 1 else mean, half_width=None)
    if min(values) == max(values):  # a row that no seed changes, such as the teacher's
        return Estimate(n=n, mean=values[0], half_width=0.0)
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Estimate(n=n, mean=mean, half_width=quantile * math.sqrt(variance / n))


def compare(
    comparison: Comparison, better: Mapping[int, float], worse: Mapping[int, float], lower_is_better: bool
) -> ComparisonResult:
    """Judge one comparison from the values by seed of its two sides; only seeds that both have are paired.

    `agrees` if the interval of better - worse lies wholly on the claimed side of zero, `disagrees` if it
    lies wholly on the other; one pair, equal differences or a value that is not finite decide nothing.
    """
    seeds = tuple(sorted(better.keys() & worse.keys()))
    differences = [better[seed] - worse[seed] for seed in seeds]
    difference = estimate(differences) if differences else None
    outcome: Outcome = "inconclusive"
    if difference is None:
        outcome, reason = "pending", "no seed has a value on both sides yet"
    elif broken := [seed for seed, value in zip(seeds, differences, strict=True) if not math.isfinite(value)]:
        reason = f"{_seeds(broken)} gave a value that is not a finite number"
    elif difference.half_width is None:
        reason = f"one seed: no interval; the difference {_direction(difference.mean, lower_is_better)}"
    elif difference.half_width <= 1e-12 * max(abs(side[seed]) for side in (better, worse) for seed in seeds):
        # Rounding alone spreads equal differences by an epsilon of the values they were taken from.
        reason = f"the same difference at all {len(seeds)} seeds: no spread to judge it by"
    else:
        outcome, reason = _judge_interval(difference, lower_is_better)
    if unpaired := sorted(better.keys() ^ worse.keys()):
        reason += f" ({_seeds(unpaired)} missing on one side, left out)"
    return ComparisonResult(
        better=comparison.better,
        worse=comparison.worse,
        seeds=seeds,
        difference=difference,
        outcome=outcome,
        reason=reason,
    )


def judge(run: TableRun) -> tuple[Verdict, ...]:
    """A verdict for each claim in each feature space, in the order of the claims, the primary space first.

    A claim agrees if all its comparisons do, and disagrees if any does; a comparison is pending as long as
    one of its rows has a seed that may still bring a value.
    """
    measured = cells(run)
    verdicts = []
    for claim in run.experiment.claims:
        for index, extractor in enumerate(measured.feature_spaces(claim.metric, run.primary_extractor)):
            verdicts.append(_verdict(run, measured, claim, extractor, primary=index == 0))
    return tuple(verdicts)


def _verdict(run: TableRun, measured: Cells, claim: Claim, extractor: str, primary: bool) -> Verdict:
    results = tuple(_compare_rows(run, measured, claim, extractor, pair) for pair in claim.comparisons)
    outcome, reason = _combine(run, claim, results)
    return Verdict(
        claim=claim,
        extractor=extractor,
        primary=primary,
        outcome=outcome,
        reason=reason,
        comparisons=results,
    )


def _compare_rows(
    run: TableRun, measured: Cells, claim: Claim, extractor: str, comparison: Comparison
) -> ComparisonResult:
    better, worse = (
        measured.values(point.row, point.steps, point.metric or claim.metric, extractor)
        for point in (comparison.better, comparison.worse)
    )
    result = compare(comparison, better, worse, claim.lower_is_better)
    waiting = {
        row.seed
        for row in run.rows
        if row.row in (comparison.better.row, comparison.worse.row) and row.status in ("waiting", "running")
    }
    if waiting and result.difference:
        reason = f"{_seeds(waiting)} still to come; so far: {result.reason}"
    elif waiting:
        reason = "not measured yet"
    elif not result.seeds:
        reason = "no pair of values: " + _why_missing(run, comparison)
    else:
        return result
    return result.model_copy(update={"outcome": "pending", "reason": reason})


def _why_missing(run: TableRun, comparison: Comparison) -> str:
    rows = (comparison.better.row, comparison.worse.row)
    requested = {row.row for row in run.rows}
    failed = {row.row for row in run.rows if row.status == "failed"}
    if absent := [row for row in dict.fromkeys(rows) if row not in requested]:
        return f"{run.experiment.row(absent[0]).label} is not part of this run"
    if broken := [row for row in dict.fromkeys(rows) if row in failed]:
        return f"{run.experiment.row(broken[0]).label} failed"
    return "the metric was not measured in this feature space at this number of steps"


def _combine(run: TableRun, claim: Claim, results: Sequence[ComparisonResult]) -> tuple[Outcome, str]:
    order: tuple[Outcome, ...] = ("disagrees", "pending", "inconclusive", "agrees")
    outcome = next(kind for kind in order if any(result.outcome == kind for result in results))
    if len(results) == 1:
        return outcome, results[0].reason
    reasons = dict.fromkeys(result.reason for result in results if result.outcome == outcome)
    count = sum(result.outcome == outcome for result in results)
    share = f"{count} of {len(results)}"
    if count == len(results):
        share = "both" if count == 2 else f"all {count}"
    if len(reasons) == 1:
        return outcome, f"{share} comparisons: {next(iter(reasons))}"
    # The one that speaks most against the claim: whoever reads one reason should read that.
    decisive = [result for result in results if result.outcome == outcome]
    worst = min(decisive, key=lambda result: _toward(result, claim.lower_is_better))
    sides = " against ".join(_side(run, claim, point) for point in (worst.better, worst.worse))
    return outcome, f"{share} comparisons, among them {sides}: {worst.reason}"


def _toward(result: ComparisonResult, lower_is_better: bool) -> float:
    """How far the mean difference lies on the claimed side; what has none says nothing for the claim."""
    if result.difference is None:
        return -math.inf
    return -result.difference.mean if lower_is_better else result.difference.mean


def _side(run: TableRun, claim: Claim, point: Point) -> str:
    at = place(point.metric or claim.metric, point.steps, named=bool(point.metric))
    return run.experiment.row(point.row).label + (f" ({at})" if at else "")


def _judge_interval(difference: Estimate, lower_is_better: bool) -> tuple[Outcome, str]:
    toward = -difference.mean if lower_is_better else difference.mean
    half_width = difference.half_width or 0.0
    within = f"the 95 % interval over {difference.n} seeds"
    if toward - half_width > 0:
        return "agrees", f"{within} lies on the claimed side"
    if toward + half_width < 0:
        return "disagrees", f"{within} lies on the other side"
    return "inconclusive", f"{within} contains zero; the mean {_direction(difference.mean, lower_is_better)}"


def _direction(difference: float, lower_is_better: bool) -> str:
    if difference == 0:
        return "is zero"
    return "points the claimed way" if (difference < 0) == lower_is_better else "points the other way"


def _seeds(seeds: Iterable[int]) -> str:
    numbers = sorted(seeds)
    return f"seed{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
