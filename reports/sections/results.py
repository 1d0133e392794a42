"""The headline table: published values against ours."""

from __future__ import annotations

import math
from functools import lru_cache

from markupsafe import Markup

from experiments.records import Run
from experiments.records.frame import over_seeds, plain, select
from experiments.records.run import REFERENCES
from experiments.records.verdicts import feature_spaces, is_extractor
from reports.html import Note, section
from reports.numbers import duration, fixed
from reports.tables import Cell, Column, Group, Line, Table, best, display_order, number_cells, texts

ORDER, TITLE = 90, "Results"

APART = "Published elsewhere, not in the paper's table"


def applies(run: Run) -> bool:
    """Whether a row is run here for its own numbers, not for the calibration."""
    return any(row.measures != "calibration" for row in run.experiment.trained_rows)


def render(run: Run) -> Markup:
    """The table, with notes on whether its protocols and training times are equal."""
    evaluations = (run.results.get(state.evaluation.name) for state in run.rows)
    protocols = {result.protocol.get("fingerprint") for result in evaluations if result is not None}
    warning = (
        f"The rows were evaluated under {len(protocols)} different protocols: their numbers are not "
        "comparable. See the protocols below."
    )
    compute = compute_statement(run)
    published = any(row.published for row in run.experiment.rows)
    return section(
        run,
        "Published against ours" if published or not run.experiment.swept else "Rows",
        *([Note(warning, "notice")] if len(protocols) > 1 else []),
        headline(run),
        *([Note(compute, "small")] if compute else []),
        *(
            Note(f"{mark} {run.label(row)}: {run.experiment.row(row).note}", "small")
            for row, mark in _marks(run).items()
        ),
    )


@lru_cache(maxsize=1)
def headline(run: Run) -> Table:
    """Published and measured values, at the number of steps of the published ones."""
    experiment = run.experiment
    published = display_order(run, {metric for row in experiment.rows for metric in row.published})
    asked = asked_metrics(run)
    spaces = [
        (metric, space)
        for metric in measured_metrics(run)
        # Metrics not asked for are shown only in the primary space; all numbers are further below.
        for space in feature_spaces(run, metric)[: None if metric in asked else 1]
    ]
    cells = [_published(run, metric) for metric in published]
    cells += [_measured(run, metric, space) for metric, space in spaces]
    lines: dict[bool, list[Line]] = {False: [], True: []}
    for row in experiment.rows:
        here = run.request.facts.get(row.name, {})
        facts = [
            Cell(row.facts.get(name, ""), note=f"here {here[name]}" if here.get(name) else "")
            for name in experiment.facts
        ]
        values = [column.get(row.name, Cell()) for column in cells]
        label = row.label + (f", T={row.steps}" if row.steps else "")
        state = _state(run, row.name) if row.trained else row.note if row.apart else "published only"
        seconds = training_seconds(run, row.name)
        ends = texts(["" if seconds is None else duration(seconds), _seeds(run, row.name)])
        lines[row.apart].append(Line(label, (*facts, *values, *ends), state, muted=not row.trained))
    bounds = []
    for name, label in REFERENCES.items():
        values = [column.get(name, Cell()) for column in cells]
        if any(cell.text for cell in values):
            bounds.append(
                Line(label, (*texts([""] * len(experiment.facts)), *values, *texts(["", "1"])), muted=True)
            )
    said = len(experiment.facts) + len(published)
    return Table(
        caption=_caption(run),
        columns=(
            Column("Row"),
            *(Column(name, ("in the paper; here",), words=True) for name in experiment.facts),
            *(Column(run.metric(metric).heading, ("in the paper",)) for metric in published),
            *(Column(run.metric(metric).heading, _notes(run, space)) for metric, space in spaces),
            Column("Training", ("per seed",)),
            Column("Seeds", ("done",)),
        ),
        groups=(
            Group("", tuple(lines[False])),
            *([Group("", tuple(bounds))] if bounds else []),
            *([Group(APART, tuple(lines[True]))] if lines[True] else []),
        ),
        heads=(("", 1), ("Published", said), ("Measured here", len(spaces)), ("", 2)),
        dense=False,
    )


def measured_metrics(run: Run) -> list[str]:
    """The metrics that have a column: metrics of features, and those that the paper publishes or claims.

    Numbers with other coordinates (a step, a context) have their own sections.
    """
    names = asked_metrics(run)
    if not run.experiment.costs:
        measured = plain(run.frame)
        own = measured[~measured["row"].isin(REFERENCES)]["metric"].unique()
        names |= {name for name in own if run.metric(name).of_features}
    return display_order(run, names)


def asked_metrics(run: Run) -> set[str]:
    """The metrics that are published or claimed without coordinates other than the number of steps."""
    names = {metric for row in run.experiment.rows for metric in row.published}
    pairs = (pair for claim in run.experiment.claims for pair in claim.comparisons)
    points = (point for pair in pairs for point in (pair.left, pair.right))
    return names | {point.metric for point in points if point.coordinates.keys() <= {"steps"}}


def training_seconds(run: Run, row: str) -> float | None:
    """Total training time of a row in seconds, as a mean over its seeds; None if unknown."""
    known = [seconds for state in run.states_of(row) if (seconds := state.training_seconds) is not None]
    return math.fsum(known) / len(known) if known else None


def compute_statement(run: Run) -> str:
    """A sentence on whether all rows had the same training time; empty if there is nothing to compare."""
    rows = [row for row in run.experiment.trained_rows if row.subject != "teacher"]
    means = {row.label: seconds for row in rows if (seconds := training_seconds(run, row.name)) is not None}
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


def _caption(run: Run) -> str:
    steps = ""
    if not run.experiment.costs:
        generates = {row.measures for row in run.experiment.trained_rows} == {"generation"}
        kind = "sampling" if generates else "decoding"
        steps = f"At T={run.experiment.headline_steps} {kind} steps unless a row names its own: "
    return (
        f"{steps}mean ± half the width of the 95 % interval over seeds. ★ marks the best mean, significant "
        "or not. Published and measured values come from different feature spaces and data and differ in "
        "scale."
    )


def _notes(run: Run, space: str) -> tuple[str, ...]:
    primary = space and is_extractor(space, run.primary_extractor)
    return (space or "measured", *(["primary"] if primary else []))


def _measured(run: Run, metric: str, space: str) -> dict[str, Cell]:
    rows = [row.name for row in run.experiment.rows]
    numbers = select(plain(run.frame), metric=metric, extractor=space)
    at = numbers["row"].map({row: run.experiment.steps_of(row) for row in rows})
    means = over_seeds(numbers[numbers["steps"].isna() | (numbers["steps"] == at).fillna(False)], "row")
    estimates = dict(zip(means["row"], means["estimate"], strict=True))
    return number_cells(estimates, run.metric(metric).direction, rows)


def _published(run: Run, metric: str) -> dict[str, Cell]:
    values = {row.name: row.published[metric] for row in run.experiment.rows if metric in row.published}
    rivals = {
        row.name: values[row.name] for row in run.experiment.rows if row.name in values and not row.apart
    }
    decimals = max(map(_written_decimals, values.values()), default=0)
    winners = best(rivals, run.metric(metric).direction)
    marks = _marks(run)
    return {
        name: Cell(fixed(value, decimals), name in winners, marks.get(name, ""))
        for name, value in values.items()
    }


def _marks(run: Run) -> dict[str, str]:
    """Footnote marks of published values, one per row with a note; rows set apart show their own."""
    noted = (row.name for row in run.experiment.rows if row.note and not row.apart)
    return {name: f"({number})" for number, name in enumerate(noted, start=1)}


def _written_decimals(value: float) -> int:
    return len(repr(value).partition(".")[2].rstrip("0")) if "e" not in repr(value) else 2


def _seeds(run: Run, row: str) -> str:
    """Number of finished seeds; empty for a row that is not run here."""
    states = run.states_of(row)
    done = sum(state.status == "done" for state in states)
    return f"{done} of {len(states)}" if done < len(states) else str(done or "")


def _state(run: Run, row: str) -> str:
    """The state of an unfinished row: `waiting`, `running: alignment, 43 %`, `failed`."""
    states = run.states_of(row)
    statuses = [state.status for state in states]
    if not states:
        return "not requested"
    for artifact in (part for state in states for part in (*state.training, *state.measurements)):
        if artifact.status == "running":
            share = "" if artifact.progress is None else f", {100 * artifact.progress:.0f} %"
            return f"running: {artifact.label}{share}"
    if left := [status for status in ("running", "waiting") if status in statuses]:
        return left[0]
    failed = statuses.count("failed")
    if failed == len(states):
        return "failed"
    return f"{failed} of {len(states)} seeds failed" if failed else ""
