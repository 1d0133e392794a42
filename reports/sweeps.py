"""What a sweep found: the metrics over the swept value, or a table where several values were swept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from experiments.records.results import TableRun
from experiments.records.verdicts import Cells, estimate
from experiments.sweeps import short_names, value_text
from reports.curves import HEADLINE_METRICS, Chart
from reports.figures import Panel, Reference, Series
from reports.metrics import MetricInfo, display_order, metric_info
from reports.numbers import decimals_for, fixed, plus_minus

LOG_FROM = 50.0
"""Positive values that span more than this factor stand on a logarithmic axis."""


@dataclass(frozen=True)
class SweepLine:
    """A row of the table: the swept values, and what was measured at the headline's number of steps."""

    values: tuple[str, ...]
    measured: tuple[str, ...]


@dataclass(frozen=True)
class SweepView:
    """A sweep as its page shows it."""

    names: tuple[str, ...]
    """The swept keys, shortened."""
    charts: tuple[Chart, ...]
    """Of one swept number; none otherwise."""
    legend: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    """Metric and feature space."""
    lines: tuple[SweepLine, ...]
    """Of several swept keys, or of one whose values are words."""


def sweep_view(run: TableRun, measured: Cells) -> SweepView | None:
    """The view of a sweep; None for every other experiment."""
    keys = run.experiment.swept
    if not keys:
        return None
    names = tuple(short_names(keys).values())
    spaces = [
        (metric_info(name), space)
        for name in display_order([name for name in measured.metrics() if name in HEADLINE_METRICS])
        for space in measured.feature_spaces(name, run.primary_extractor)
    ]
    values = [row.overrides[keys[0]] for row in run.experiment.rows]
    if len(keys) == 1 and len(values) > 1 and all(map(_is_number, values)):
        steps = sorted({step for info, space in spaces for step in measured.steps(info.name, space)})
        charts = tuple(_chart(run, measured, info, space, names[0], steps) for info, space in spaces)
        return SweepView(names, charts, tuple(f"T={step}" for step in steps), (), ())
    columns = tuple((info.heading, space) for info, space in spaces)
    return SweepView(names, (), (), columns, _lines(run, measured, spaces))


def _chart(
    run: TableRun, measured: Cells, info: MetricInfo, space: str, name: str, steps: list[int]
) -> Chart:
    key = run.experiment.swept[0]
    rows = sorted(run.experiment.rows, key=lambda row: float(row.overrides[key]))
    series, words = [], []
    for index, step in enumerate(steps):
        found = {
            float(row.overrides[key]): estimate(list(cell.values()))
            for row in rows
            if (cell := measured.values(row.name, step, info.name, space))
        }
        finite = {x: item for x, item in found.items() if math.isfinite(item.mean)}
        if finite:
            means = tuple(item.mean for item in finite.values())
            bands = tuple(item.half_width for item in finite.values())
            series.append(Series(index, tuple(finite), means, bands))
            decimals = decimals_for(finite.values())
            said = ", ".join(f"{fixed(item.mean, decimals)} at {x:g}" for x, item in finite.items())
            words.append(f"T={step}: {said}")
    references = []
    if values := measured.values("teacher", None, info.name, space):
        references.append(Reference("teacher", estimate(list(values.values())).mean))
    xs = [float(row.overrides[key]) for row in rows]
    return Chart(
        title=info.heading,
        subtitle=space,
        alternative=f"{info.label} {space} over {name}. " + "; ".join(words) + ".",
        panel=Panel(
            tuple(series),
            tuple(references),
            x_label=name,
            marked=True,
            log_x=xs[0] > 0 and xs[-1] / xs[0] > LOG_FROM,
        ),
    )


def _lines(run: TableRun, measured: Cells, spaces: list[tuple[MetricInfo, str]]) -> tuple[SweepLine, ...]:
    steps = run.experiment.headline_steps
    columns = []
    for info, space in spaces:
        found = {
            row.name: estimate(list(cell.values()))
            for row in run.experiment.rows
            if (cell := measured.values(row.name, steps, info.name, space))
        }
        decimals = decimals_for(found.values())
        columns.append({name: plus_minus(item, decimals) for name, item in found.items()})
    return tuple(
        SweepLine(
            tuple(value_text(row.overrides[key]) for key in run.experiment.swept),
            tuple(column.get(row.name, "") for column in columns),
        )
        for row in run.experiment.rows
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
