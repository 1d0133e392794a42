"""Results of a sweep: metrics over one swept number, or a table for several keys or other values."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from experiments.records import Run
from experiments.records.estimates import estimate
from experiments.records.frame import by_seed, over_seeds, plain, select
from experiments.records.verdicts import feature_spaces
from experiments.specs.sweep import short_names, value_text
from reports.charts import POINTS, Axis, Chart, line_chart
from reports.html import Charts, Note, section
from reports.tables import Cell, Column, Group, Line, Table, display_order, number_cells

ORDER, TITLE = 80, "Over the swept values"

LOG_FROM = 50.0
"""Positive values that span more than this factor are shown on a logarithmic axis."""


def applies(run: Run) -> bool:
    """Whether the run is a sweep."""
    return bool(run.experiment.swept)


def render(run: Run) -> Markup:
    """Charts over one swept number, otherwise a table."""
    title = f"Over {', '.join(short_names(run.experiment.swept).values())}"
    if not _spaces(run):
        return section(run, title, Note("No number yet.", ""))
    if not _is_one_number(run):
        return section(run, title, table(run))
    charts = drawn(run)
    note = (
        "A line for each number of decoding steps T; bands are 95 % intervals over seeds, the dashed line "
        "is the teacher's own reconstruction."
    )
    return section(run, title, Note(note), Charts(tuple(charts), charts[0].legend if charts else ()))


def drawn(run: Run) -> list[Chart]:
    """A chart for each metric of features, with a line for each T."""
    key = run.experiment.swept[0]
    swept = {row.name: float(row.overrides[key]) for row in run.experiment.rows}
    low, high = min(swept.values()), max(swept.values())
    axis = Axis(short_names([key])[key], "log" if low > 0 and high / low > LOG_FROM else "marked")
    charts = []
    for metric, space in _spaces(run):
        numbers = select(plain(run.frame), metric=metric, extractor=space)
        means = over_seeds(numbers[numbers["row"].isin(swept) & numbers["steps"].notna()], "row", "steps")
        steps = sorted(means["steps"].unique())
        points = pd.DataFrame(
            {
                "line": [f"T={step}" for step in means["steps"]],
                "index": [steps.index(step) for step in means["steps"]],
                "x": means["row"].map(swept),
                "y": [each.mean for each in means["estimate"]],
                "half_width": [each.half_width for each in means["estimate"]],
                "end": False,
            },
            columns=list(POINTS),
        )
        bound = by_seed(select(numbers, row="teacher"))
        references = {"teacher": estimate(list(bound.values())).mean} if bound else {}
        chart = line_chart(run.metric(metric).heading, space, points, axis, references)
        charts += [chart] if chart else []
    return charts


def table(run: Run) -> Table:
    """A line for each row: the swept values, and the metrics of features at the headline's T."""
    keys, steps = run.experiment.swept, run.experiment.headline_steps
    columns = [Column(name) for name in short_names(keys).values()]
    cells = []
    for metric, space in _spaces(run):
        numbers = select(plain(run.frame), metric=metric, extractor=space, steps=steps)
        means = over_seeds(numbers, "row").set_index("row")["estimate"].to_dict()
        columns.append(Column(run.metric(metric).heading, (space,)))
        cells.append(number_cells(means))
    lines = []
    for row in run.experiment.rows:
        first, *others = (value_text(row.overrides[key]) for key in keys)
        measured = (column.get(row.name, Cell()) for column in cells)
        lines.append(Line(first, (*map(Cell, others), *measured)))
    caption = f"At T={steps} decoding steps: mean ± half the width of the 95 % interval over seeds."
    return Table(caption, tuple(columns), (Group("", tuple(lines)),), dense=False)


def _spaces(run: Run) -> list[tuple[str, str]]:
    """Metrics of features with their feature spaces."""
    names = [name for name in plain(run.frame)["metric"].unique() if run.metric(name).of_features]
    return [(name, space) for name in display_order(run, names) for space in feature_spaces(run, name)]


def _is_one_number(run: Run) -> bool:
    keys = run.experiment.swept
    values = [row.overrides[keys[0]] for row in run.experiment.rows]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return len(keys) == 1 and len(values) > 1 and numbers
