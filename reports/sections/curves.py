"""Metrics over the number of decoding steps."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup

from experiments.records import Run
from experiments.records.estimates import estimate
from experiments.records.frame import by_seed, plain, select
from experiments.records.run import REFERENCES
from experiments.records.verdicts import feature_spaces
from reports.charts import Axis, Chart, row_chart
from reports.html import Charts, Note, rows_legend, section
from reports.tables import display_order

ORDER, TITLE = 110, "Over decoding steps"

MAIN = ("rfid", "gfid", "is")
"""Metrics with a chart in every feature space; others have one only in the primary space."""


def applies(run: Run) -> bool:
    """Whether a metric of features was measured at several T; pages about costs do not show quality."""
    return not run.experiment.costs and bool(drawn(run, of_features=True))


def render(run: Run) -> Markup:
    """The charts of metrics of features; other metrics are in the section of all numbers."""
    note = (
        "Bands are 95 % intervals over seeds; dashed lines are the teacher's own reconstruction and the real "
        "images."
    )
    return section(run, TITLE, Note(note), Charts(tuple(drawn(run, of_features=True)), rows_legend(run)))


@lru_cache(maxsize=2)
def drawn(run: Run, of_features: bool) -> list[Chart]:
    """A chart for each metric and feature space measured at more than one T."""
    measured = plain(run.frame)
    charts = []
    for metric in display_order(run, measured["metric"].unique()):
        if run.metric(metric).of_features != of_features:
            continue
        for space in feature_spaces(run, metric)[: None if metric in MAIN or not of_features else 1]:
            numbers = select(measured, metric=metric, extractor=space)
            if numbers["steps"].nunique() > 1:
                bounds = {row: by_seed(select(numbers, row=row)) for row in REFERENCES}
                references = {
                    row: estimate(list(values.values())).mean for row, values in bounds.items() if values
                }
                chart = row_chart(
                    run, numbers, "steps", Axis("decoding steps T", "powers"), space, references
                )
                charts += [chart] if chart else []
    return charts
