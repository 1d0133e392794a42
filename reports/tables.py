"""Tables of text for pages and LaTeX, built from the numbers of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from experiments.records import Run
from experiments.records.estimates import Estimate
from experiments.records.frame import coordinates, over_seeds
from reports.numbers import decimals_for, plus_minus


@dataclass(frozen=True)
class Cell:
    """One value as text, empty if there is none; `note` appears below it in small print."""

    text: str = ""
    best: bool = False
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A heading with small print below it; columns of `words` are left-aligned."""

    name: str
    notes: tuple[str, ...] = ()
    words: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table."""

    label: str
    cells: tuple[Cell, ...]
    note: str = ""
    muted: bool = False


@dataclass(frozen=True)
class Group:
    """Lines that belong together, under a heading unless it is empty."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Table:
    """A table, whose first column has the labels of the lines."""

    caption: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    heads: tuple[tuple[str, int], ...] = ()
    """Headings with the number of columns that each spans."""
    dense: bool = True
    best: str = "best"
    """The meaning of the marked cells."""


def texts(values: Iterable[str]) -> tuple[Cell, ...]:
    """Cells of plain text."""
    return tuple(Cell(value) for value in values)


def number_cells(
    estimates: Mapping[str, Estimate], direction: int = 0, rivals: Sequence[str] = ()
) -> dict[str, Cell]:
    """The estimates of one column as cells with equal decimals; the best of `rivals` is marked."""
    decimals = decimals_for(estimates.values())
    means = {name: estimates[name].mean for name in rivals if name in estimates}
    winners = best(means, direction)
    return {name: Cell(plus_minus(each, decimals), name in winners) for name, each in estimates.items()}


def best(values: Mapping[str, float], direction: int) -> set[str]:
    """The names with the best finite value; empty without a direction or a rival."""
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    if direction == 0 or len(finite) < 2:
        return set()
    winner = max(finite.values()) if direction > 0 else min(finite.values())
    return {name for name, value in finite.items() if value == winner}


def pivot(run: Run, frame: pd.DataFrame, over: str, heading: str, caption: str) -> Table:
    """All numbers of `frame`, with a column for each value of `over` and lines by row, grouped by metric.

    If a metric is measured at other coordinates, each combination has its own group.

    Args:
        run: the run, which defines the labels of metrics and rows.
        frame: the numbers.
        over: a coordinate.
        heading: heading of the columns, with `{}` for the value; numbers without one are under "any".
        caption: caption of the table.
    """
    others = [
        name for name in coordinates(frame) if name not in (over, "temperature") and frame[name].notna().any()
    ]
    identity = ["metric", "extractor", *others]
    found = {value for value in frame[over] if not pd.isna(value)}
    places = sorted(found, key=lambda value: (isinstance(value, str), value))
    shown: list[object] = [*([None] if frame[over].isna().any() else []), *places]
    groups = []
    for key, group in _ordered(run, frame).groupby(identity, sort=False, dropna=False):
        metric, extractor, *where = key
        means = over_seeds(group, "row", over)
        decimals = decimals_for(means["estimate"])
        lines = []
        for row, of_row in means.groupby("row", sort=False):
            at = {
                None if pd.isna(place) else place: plus_minus(each, decimals)
                for place, each in zip(of_row[over], of_row["estimate"], strict=True)
            }
            lines.append(Line(run.label(row), texts(at.get(place, "") for place in shown)))
        named = [f"{name} {value}" for name, value in zip(others, where, strict=True) if not pd.isna(value)]
        title = " · ".join(filter(None, [run.metric(metric).heading, extractor, *named]))
        groups.append(Group(title, tuple(lines)))
    names = ["any" if place is None else heading.format(place) for place in shown]
    return Table(caption, (Column("Row"), *map(Column, names)), tuple(groups))


def display_order(run: Run, metrics: Iterable[str]) -> list[str]:
    """Published metrics first, then those of features, each in the order of their descriptions."""
    published = {name for row in run.experiment.rows for name in row.published}
    places = {name: place for place, name in enumerate(run.metrics)}

    def key(name: str) -> tuple[bool, bool, int, str]:
        return name not in published, not run.metric(name).of_features, places.get(name, len(places)), name

    return sorted(metrics, key=key)


def _ordered(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    places = {name: place for place, name in enumerate(display_order(run, frame["metric"].unique()))}
    return frame.sort_values("metric", key=lambda column: column.map(places), kind="stable")
