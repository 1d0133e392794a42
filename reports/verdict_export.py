"""Verdicts as text, CSV, JSON and Markdown: what the pages say of the claims, for terminals and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from experiments.records.flat import csv_text, json_text
from experiments.records.results import TableRun
from experiments.records.verdicts import ComparisonResult, Outcome, Verdict, judge
from reports.claims import ClaimView, VerdictView, claim_views
from sftok.config import Config

MEANINGLESS = "the numbers of this profile mean nothing"


class VerdictRow(Config):
    """One comparison of a claim in one feature space."""

    table: str
    profile: str
    claim: str
    """Its name in the spec."""
    text: str
    source: str
    metric: str
    extractor: str
    primary: bool
    """Whether the feature space is the one that the profile named before any result."""
    verdict: Outcome
    """On the claim, which needs all of its comparisons."""
    better: str
    better_steps: int | None
    worse: str
    worse_steps: int | None
    difference: float | None
    """better - worse, the mean over the seeds that both have."""
    low: float | None
    """The 95 % interval's lower end; None for one seed."""
    high: float | None
    seeds: tuple[int, ...]
    outcome: Outcome
    """Of this comparison."""
    reason: str


FIELDS = tuple(VerdictRow.model_fields)


def verdict_rows(run: TableRun) -> list[VerdictRow]:
    """Every comparison of a run in every feature space, in the order of the claims."""
    return [_row(run, verdict, comparison) for verdict in judge(run) for comparison in verdict.comparisons]


def to_csv(runs: Iterable[TableRun]) -> str:
    """One line a comparison under a header of the field names; spaces separate seeds."""
    rows = (row for run in runs for row in verdict_rows(run))
    return csv_text(FIELDS, (row.model_dump() | {"seeds": " ".join(map(str, row.seeds))} for row in rows))


def to_json(runs: Iterable[TableRun]) -> str:
    """A JSON array with one object a comparison."""
    return json_text(row.model_dump() for run in runs for row in verdict_rows(run))


def to_text(runs: Sequence[TableRun]) -> str:
    """For a terminal: each claim with its mark, the differences behind it and the reason."""
    return "\n\n".join("\n".join(_text(run)) for run in runs) + "\n"


def to_markdown(runs: Iterable[TableRun]) -> str:
    """One line a claim, in the primary feature space: what RESULTS.md shows."""
    lines = [
        "| where | claim | found here: better minus worse | seeds | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        for view in claim_views(run, judge(run)):
            found = view.headline.found
            cells = (
                run.experiment.name,
                view.claim.text,
                f"{view.metric.label} {found}" if found else "",
                str(_seeds(view.headline)),
                f"{_verdict(view)} ({MEANINGLESS})" if run.meaningless else _verdict(view),
            )
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def _row(run: TableRun, verdict: Verdict, comparison: ComparisonResult) -> VerdictRow:
    found = comparison.difference
    return VerdictRow(
        table=run.experiment.name,
        profile=run.profile,
        claim=verdict.claim.name,
        text=verdict.claim.text,
        source=verdict.claim.source,
        metric=verdict.claim.metric,
        extractor=verdict.extractor,
        primary=verdict.primary,
        verdict=verdict.outcome,
        better=comparison.better.row,
        better_steps=comparison.better.steps,
        worse=comparison.worse.row,
        worse_steps=comparison.worse.steps,
        difference=found.mean if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        seeds=comparison.seeds,
        outcome=comparison.outcome,
        reason=comparison.reason,
    )


def _text(run: TableRun) -> Iterator[str]:
    seeds = f"seed{'s' if len(run.seeds) > 1 else ''} {', '.join(map(str, run.seeds))}"
    warning = f"; {MEANINGLESS}" if run.meaningless else ""
    yield f"{run.experiment.name} ({run.experiment.source}), profile {run.profile}, {seeds}{warning}"
    views = claim_views(run, judge(run))
    if not views:
        yield "  makes no claim"
    for view in views:
        yield f"  {view.headline.mark} {view.headline.outcome}: {view.claim.text}"
        for verdict in view.verdicts:
            yield from _text_of_space(view, verdict)


def _text_of_space(view: ClaimView, verdict: VerdictView) -> Iterator[str]:
    where = f" ({verdict.extractor})" if verdict.extractor else ""
    outcome = "" if verdict.primary else f"{verdict.outcome}. "
    yield f"    {view.metric.label}{where}: {outcome}{verdict.reason}"
    for item in verdict.comparisons:
        sides = f"{item.better} minus {item.worse}" + (f", {item.at}" if item.at else "")
        number = f"{item.difference} {item.interval}".strip() or "no number yet"
        paper = f"; in the paper {item.published}" if item.published else ""
        yield f"      {sides}: {number}{paper}"


def _verdict(view: ClaimView) -> str:
    """The outcome; of one seed, which can decide nothing, the way it points."""
    headline = view.headline
    sides = [item.plot.mean * item.plot.claimed_side for item in headline.comparisons if item.plot]
    decided = headline.outcome != "inconclusive" or len(sides) < len(headline.comparisons)
    if _seeds(headline) == 1 and not decided:
        way = "as claimed" if min(sides) > 0 else "the other way" if min(sides) < 0 else "level"
        return f"one seed, {way}"
    return f"**{headline.outcome}**" if headline.outcome in ("agrees", "disagrees") else headline.outcome


def _seeds(verdict: VerdictView) -> int:
    return max((item.seeds for item in verdict.comparisons), default=0)


def _cell(text: str) -> str:
    """`text` within a cell: a bar would end it, and so would a line."""
    return " ".join(text.split()).replace("|", r"\|")
