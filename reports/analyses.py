"""Charts over a coordinate of an analysis, such as the decoding step or the visible share."""

from __future__ import annotations

import pandas as pd

from experiments.records import Run
from reports.charts import Axis, Chart, row_chart
from reports.tables import display_order

LEAST_SPAN = 0.002
"""Minimum span of the vertical axis, so that a thousandth of a nat or of all codes does not look steep."""


def measured_at(run: Run, coordinate: str) -> pd.DataFrame:
    """The numbers of a run that have a value for the coordinate."""
    return run.frame[run.frame[coordinate].notna()] if coordinate in run.frame else run.frame.iloc[:0]


def charts_over(run: Run, numbers: pd.DataFrame, coordinate: str, label: str, said: str) -> tuple[Chart, ...]:
    """A chart per metric over the coordinate; `label` is the axis label, `said` the subtitle."""
    axis = Axis(label, "even", least_span=LEAST_SPAN)
    charts = (
        row_chart(run, numbers[numbers["metric"] == metric], coordinate, axis, said)
        for metric in display_order(run, numbers["metric"].unique())
    )
    return tuple(chart for chart in charts if chart is not None)
