"""The tables of a page, as text and marks: published against ours, and every metric at every T.

Shared by the HTML page and the LaTeX export.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.records.quantities import is_quantity
from experiments.records.results import RowRun, TableRun
from experiments.records.verdicts import FEATURE_METRICS, Cells, Estimate, estimate, is_extractor
from reports.metrics import QUANTITIES, MetricInfo, display_order, metric_info
from reports.numbers import decimals_for, duration, fixed, plus_minus

REFERENCES = {"teacher": "Teacher's own reconstruction", "real": "Real images"}
"""Rows that bound what any tokenizer can reach."""


@dataclass(frozen=True)
class Column:
    """A measured column: a metric in one feature space."""

    metric: MetricInfo
    extractor: str
    primary: bool


@dataclass(frozen=True)
class Cell:
    """One number of a table as text; empty if there is none."""

    text: str = ""
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A row of the headline table."""

    name: str
    label: str
    facts: tuple[str, ...]
    """What the paper says of it beside numbers, by the table's `facts`."""
    here: tuple[str, ...]
    """The same of the row as it was run; empty texts for a row that was not."""
    published: tuple[Cell, ...]
    measured: tuple[Cell, ...]
    training: str
    seeds: str
    state: str
    """What to say instead of numbers while there are none: `waiting`, `alignment, 43 %`, `failed`."""
    trained: bool = True
    """False for a row that only the paper has."""


@dataclass(frozen=True)
class Headline:
    """Published against measured, at the number of steps the published values hold for."""

    steps: int
    generates: bool
    """Whether the steps are those of sampling from a generator."""
    facts: tuple[str, ...]
    """Headings of the columns that hold words."""
    published: tuple[MetricInfo, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    references: tuple[Line, ...]
    compute: str
    """A sentence on whether all rows had the same training time."""


@dataclass(frozen=True)
class FlatLine:
    """One metric of one row, by T."""

    metric: MetricInfo
    extractor: str
    label: str
    values: tuple[str, ...]
    """The value that holds at any T, if the metric does not depend on it, then one for each T."""


@dataclass(frozen=True)
class FlatTable:
    """Every metric of every row at every T."""

    steps: tuple[int, ...]
    lines: tuple[FlatLine, ...]


def measured_columns(run: TableRun, measured: Cells) -> tuple[Column, ...]:
    """The columns of the headline table: feature metrics and what the paper publishes or claims.

    The primary extractor comes first within each metric, and has its columns before any result is in. What
    an analysis measures has tables of its own (`reports.analyses`).
    """
    asked = {metric for row in run.experiment.rows for metric in row.published}
    asked |= {claim.metric for claim in run.experiment.claims}
    names = {name for name in asked if name not in QUANTITIES and not is_quantity(name)}
    if not run.experiment.costs:
        names |= {name for name in measured.metrics() if name in FEATURE_METRICS}
    if _generates(run):
        names -= {"rfid"}  # of the teacher among the references alone
    columns = []
    for name in display_order(sorted(names)):
        for space in measured.feature_spaces(name, run.primary_extractor):
            columns.append(Column(metric_info(name), space, is_extractor(space, run.primary_extractor)))
    return tuple(columns)


def headline(run: TableRun, measured: Cells) -> Headline:
    """The table of published values against ours at `headline_steps`."""
    experiment = run.experiment
    facts = experiment.facts
    published = display_order(sorted({metric for row in experiment.rows for metric in row.published}))
    columns = measured_columns(run, measured)
    cells_by_column = [_measured_cells(run, measured, column) for column in columns]
    published_by_column = [_published_cells(run, metric) for metric in published]
    lines = tuple(
        Line(
            name=row.name,
            label=row.label + (f", T={row.steps}" if row.steps else ""),
            facts=tuple(row.facts.get(heading, "") for heading in facts),
            here=_facts_here(run, row.name, facts),
            published=tuple(column[row.name] for column in published_by_column),
            measured=tuple(column[row.name] for column in cells_by_column),
            training=_training(run, row.name),
            seeds=_seeds(run, row.name) if row.trained else "",
            state=_state(run, row.name) if row.trained else "published only",
            trained=row.trained,
        )
        for row in experiment.rows
    )
    shown = {result.row for result in run.references}
    references = tuple(
        Line(
            name=name,
            label=label,
            facts=tuple("" for _ in facts),
            here=tuple("" for _ in facts),
            published=tuple(Cell() for _ in published),
            measured=tuple(column[name] for column in cells_by_column),
            training="",
            seeds=str(len({result.seed for result in run.references if result.row == name})),
            state="",
        )
        for name, label in REFERENCES.items()
        if name in shown and any(column[name].text for column in cells_by_column)
    )
    return Headline(
        steps=experiment.headline_steps,
        generates=_generates(run),
        facts=facts,
        published=tuple(map(metric_info, published)),
        columns=columns,
        lines=lines,
        references=references,
        compute=_compute_statement(run),
    )


def flat_table(run: TableRun, measured: Cells) -> FlatTable:
    """Every metric by T, with a line for each metric, extractor and row that has values."""
    found = [
        (name, space)
        for name in display_order(measured.metrics())
        if not is_quantity(name)
        for space in measured.extractors(name)
    ]
    steps = tuple(sorted({step for name, space in found for step in measured.steps(name, space)}))
    labels = {row.name: row.label for row in run.experiment.rows} | REFERENCES
    lines = []
    for name, space in found:
        values = {
            (row, step): measured.values(row, step, name, space) for row in labels for step in (None, *steps)
        }
        estimates = {key: estimate(list(cell.values())) for key, cell in values.items() if cell}
        decimals = decimals_for(estimates.values())
        for row, label in labels.items():
            cells = [estimates.get((row, step)) for step in (None, *steps)]
            if any(cells):
                shown = _constant_once(cells, decimals)
                lines.append(FlatLine(metric_info(name), space, label, shown))
    return FlatTable(steps, tuple(lines))


def row_label(run: TableRun, name: str) -> str:
    """The label of a row of the experiment, or of a reference."""
    return REFERENCES.get(name) or run.experiment.row(name).label


def training_seconds(row: RowRun) -> float | None:
    """Seconds of all training stages of a row, shared ones included; None while any is unknown."""
    seconds = [stage.seconds for stage in row.training]
    if not seconds or any(value is None for value in seconds):
        return None
    return math.fsum(value for value in seconds if value is not None)


def _generates(run: TableRun) -> bool:
    measured = {row.measures for row in run.experiment.trained_rows}
    return measured == {"generation"}


def _constant_once(cells: list[Estimate | None], decimals: int) -> tuple[str, ...]:
    # What does not depend on T answers at every T; print it once, under "any T".
    constant, *by_steps = cells
    shown = [None] * len(by_steps) if constant else by_steps
    return tuple(plus_minus(cell, decimals) if cell else "" for cell in (constant, *shown))


def _facts_here(run: TableRun, name: str, facts: tuple[str, ...]) -> tuple[str, ...]:
    found = next((row.facts for row in _runs_of(run, name)), {})
    return tuple(found.get(heading, "") for heading in facts)


def _measured_cells(run: TableRun, measured: Cells, column: Column) -> dict[str, Cell]:
    names = [row.name for row in run.experiment.rows]
    at: dict[str, int | None] = {name: run.experiment.steps_of(name) for name in names}
    at |= dict.fromkeys(REFERENCES)
    estimates = {}
    for name, steps in at.items():
        if values := measured.values(name, steps, column.metric.name, column.extractor):
            estimates[name] = estimate(list(values.values()))
    decimals = decimals_for(estimates.values())
    best = _best({name: estimates[name].mean for name in names if name in estimates}, column.metric.direction)
    return {
        name: Cell(plus_minus(estimates[name], decimals), name in best) if name in estimates else Cell()
        for name in (*names, *REFERENCES)
    }


def _published_cells(run: TableRun, metric: str) -> dict[str, Cell]:
    values = {row.name: row.published[metric] for row in run.experiment.rows if metric in row.published}
    decimals = max((_written_decimals(value) for value in values.values()), default=0)
    best = _best(values, metric_info(metric).direction)
    return {
        row.name: Cell(fixed(values[row.name], decimals), row.name in best) if row.name in values else Cell()
        for row in run.experiment.rows
    }


def _written_decimals(value: float) -> int:
    return len(repr(value).partition(".")[2].rstrip("0")) if "e" not in repr(value) else 2


def _best(values: dict[str, float], direction: int) -> set[str]:
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    if direction == 0 or len(finite) < 2:
        return set()
    winner = max(finite.values()) if direction > 0 else min(finite.values())
    return {name for name, value in finite.items() if value == winner}


def _runs_of(run: TableRun, name: str) -> list[RowRun]:
    return [row for row in run.rows if row.row == name]


def _training(run: TableRun, name: str) -> str:
    known = [seconds for row in _runs_of(run, name) if (seconds := training_seconds(row)) is not None]
    return duration(math.fsum(known) / len(known)) if known else ""


def _seeds(run: TableRun, name: str) -> str:
    runs = _runs_of(run, name)
    done = sum(row.status == "done" for row in runs)
    return str(done) if done == len(runs) else f"{done} of {len(runs)}"


def _state(run: TableRun, name: str) -> str:
    runs = _runs_of(run, name)
    if not runs:
        return "not requested"
    statuses = {row.status for row in runs}
    if statuses == {"done"}:
        return ""
    for row in runs:
        for artifact in (*row.training, row.evaluation, *row.analyses):
            if artifact.status == "running":
                share = "" if artifact.progress is None else f", {artifact.progress:.0%}".replace("%", " %")
                return f"running: {artifact.label}{share}"
    if "running" in statuses:
        return "running"
    if "waiting" in statuses:
        return "waiting"
    failed = sum(row.status == "failed" for row in runs)
    return "failed" if failed == len(runs) else f"{failed} of {len(runs)} seeds failed"


def _compute_statement(run: TableRun) -> str:
    means: dict[str, float] = {}
    for row in run.experiment.trained_rows:
        if row.subject == "teacher":
            continue
        known = [
            seconds for item in _runs_of(run, row.name) if (seconds := training_seconds(item)) is not None
        ]
        if known:
            means[row.label] = math.fsum(known) / len(known)
    if len(means) < 2:
        return ""
    least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    ratio = means[most] / means[least] if means[least] else math.inf
    spread = (
        f"{duration(means[least])} ({least}) to {duration(means[most])} ({most}) of training "
        f"per row and seed, a factor of {ratio:.2f}"
    )
    if ratio < 1.1:
        return f"Equal compute: {spread}."
    return (
        f"Not equal in wall-clock time: {spread}. "
        "Compare the numbers of steps in the configuration before reading a difference as an effect."
    )
