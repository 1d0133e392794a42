"""What a context is worth (Appendix C): whatever was measured at a share of visible codes."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from experiments.records import Run
from reports.charts import Axis, Chart, row_chart
from reports.html import Charts, Note, rows_legend, section
from reports.sections.steps import LEAST_SPAN
from reports.tables import display_order, pivot

ORDER, TITLE = 50, "Context by context"

NOTE = (
    "All contexts of a visible share are measured at the same masked positions. The first-step prediction "
    "comes from the tokens alone, so it holds no information about the true codes beyond them: what own "
    "codes gain is computing, and a second pass over the whole prediction and a deeper decoder are its "
    "controls. The bound is the accuracy that the model's own distribution promises: C.2's, if that "
    "distribution were the true one; above the accuracy, the decoder is too sure."
)


def applies(run: Run) -> bool:
    """Whether anything was measured by visible share."""
    return not by_share(run).empty


def by_share(run: Run) -> pd.DataFrame:
    """The numbers at a share of visible codes."""
    return run.frame[run.frame["visible"].notna()] if "visible" in run.frame else run.frame.iloc[:0]


def render(run: Run) -> Markup:
    """All numbers, and a chart for each difference between two contexts."""
    caption = "By the share of the codes that is visible, and by context where a number has one."
    table = pivot(run, by_share(run), "visible", "{:.0%} visible", caption)
    charts = Charts(drawn(run), rows_legend(run))
    return section(
        run, TITLE, Note(NOTE, "small"), table, Note("Bands are 95 % intervals over seeds."), charts
    )


def drawn(run: Run) -> tuple[Chart, ...]:
    """A chart for each quantity that is of no single context: the differences between two."""
    numbers = by_share(run)
    if "context" in numbers:
        numbers = numbers[numbers["context"].isna()]
    axis = Axis("visible share of the codes", "even", least_span=LEAST_SPAN)
    charts = (
        row_chart(run, numbers[numbers["metric"] == metric], "visible", axis, run.metric(metric).meaning)
        for metric in display_order(run, numbers["metric"].unique())
    )
    return tuple(chart for chart in charts if chart is not None)
