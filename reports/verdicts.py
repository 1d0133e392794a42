"""Verdicts as text, CSV, JSON and Markdown, for terminals and scripts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from experiments.records import Run
from experiments.records.verdicts import Verdict, judge
from experiments.specs import Point
from reports.claims import MARKS, by_claim, compared, found, remedy_of, remedy_words, sentence

FIELDS = (
    *(
        "table",
        "profile",
        "claim",
        "text",
        "source",
        "extractor",
        "primary",
        "calibrated",
        "verdict",
        "left",
        "sign",
        "right",
    ),
    *("difference", "low", "high", "seeds", "outcome", "reason", "remedy"),
)

MEANINGLESS = "the numbers of this profile mean nothing"


def verdict_frame(runs: Iterable[Run]) -> pd.DataFrame:
    """One row for each comparison of each claim in each feature space.

    `left`, `sign` and `right` are as in the spec, `difference` is left - right with the interval `low` to
    `high`, `verdict` is for the whole claim and `outcome` for this comparison. Seeds are separated by spaces.
    """
    lines = []
    for run, verdict in ((each, verdict) for each in runs for verdict in judge(each)):
        claim = verdict.claim
        for item in verdict.comparisons:
            sides, estimate = item.comparison, item.difference
            ends = (estimate.mean, estimate.low, estimate.high) if estimate else (None, None, None)
            lines.append(
                (
                    *(run.experiment.name, run.request.profile, claim.name, claim.text, claim.source),
                    *(verdict.extractor, verdict.primary, verdict.calibrated, verdict.outcome),
                    *(_written(sides.left), sides.sign, _written(sides.right), *ends),
                    *(" ".join(map(str, item.seeds)), item.outcome, item.reason),
                    verdict.remedy.command if verdict.remedy else "",
                )
            )
    return pd.DataFrame(lines, columns=list(FIELDS))


def verdict_text(runs: Sequence[Run]) -> str:
    """Text for a terminal: each claim with its mark, differences, reason and remedy."""
    return "\n\n".join("\n".join(_text(run)) for run in runs) + "\n"


def verdict_markdown(runs: Iterable[Run]) -> str:
    """A Markdown table with one line per claim, in the primary feature space."""
    lines = [
        "| where | claim | found here: first minus second | seeds | verdict |",
        "| --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        for verdict in judge(run):
            if verdict.primary:
                numbers = found(run, verdict)
                caution = f" ({MEANINGLESS})" if run.request.meaningless else ""
                cells = (
                    run.experiment.name,
                    verdict.claim.text,
                    f"{run.metric(verdict.claim.metric).label} {numbers}" if numbers else "",
                    str(verdict.seeds),
                    _word(verdict) + caution,
                )
                # A bar or a line break would end a cell.
                escaped = (" ".join(cell.split()).replace("|", r"\|") for cell in cells)
                lines.append(f"| {' | '.join(escaped)} |")
    return "\n".join(lines) + "\n"


def _written(point: Point) -> str:
    """A point in the notation of specs, e.g. `sfvr:accuracy@step=8`."""
    parts = (f"{'' if key == 'steps' else f'{key}='}{value}" for key, value in point.coordinates.items())
    return "@".join(filter(None, (f"{point.row}:{point.metric}", ",".join(parts))))


def _text(run: Run) -> Iterator[str]:
    experiment, seeds = run.experiment, run.request.seeds
    listed = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    warning = f"; {MEANINGLESS}" if run.request.meaningless else ""
    yield f"{experiment.name} ({experiment.source}), profile {run.request.profile}, {listed}{warning}"
    if not experiment.claims:
        yield "  makes no claim"
    for claim, verdicts in by_claim(run):
        headline = f"{verdicts[0].outcome} {verdicts[0].spread}".strip()
        yield f"  {MARKS[verdicts[0].outcome]} {headline}: {claim.text}"
        for verdict in verdicts:
            where = f" ({verdict.extractor})" if verdict.extractor else ""
            outcome = "" if verdict.primary else f"{verdict.outcome}. "
            yield f"    {run.metric(claim.metric).label}{where}: {outcome}{sentence(verdict.reason)}"
            for item in compared(run, verdict):
                sides = f"{item.left} minus {item.right}" + (f", {item.at}" if item.at else "")
                number = f"{item.difference} {item.interval}".strip() or "no number yet"
                paper = f"; in the paper {item.published}" if item.published else ""
                yield f"      {sides}: {number}{paper}"
    if remedy := remedy_of(judge(run)):
        yield f"  to decide claims that lack seeds: {remedy_words(remedy)}: {remedy.command}"


def _word(verdict: Verdict) -> str:
    """The outcome, or the direction of the difference for one seed, which cannot decide anything."""
    sides = [item.toward for item in verdict.comparisons]
    if verdict.outcome == "inconclusive" and verdict.seeds == 1 and all(map(math.isfinite, sides)):
        way = "as claimed" if min(sides) > 0 else "the other way" if min(sides) < 0 else "level"
        return f"one seed, {way}"
    outcome = f"**{verdict.outcome}**" if verdict.outcome in ("agrees", "disagrees") else verdict.outcome
    return f"{outcome} {verdict.spread}".strip()
