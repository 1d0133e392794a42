"""What each decoding step predicts (Figure 4a): whatever was measured at each step of one decoding."""

from __future__ import annotations

import pandas as pd
from markupsafe import Markup

from experiments.records import Run
from experiments.records.frame import select
from reports.charts import Axis, Chart, row_chart
from reports.html import Charts, Fold, Note, rows_legend, section
from reports.tables import display_order, pivot

ORDER, TITLE = 40, "Step by step"

LEAST_SPAN = 0.002
"""Of the vertical axis: a thousandth of a nat, or of all codes, is not blown up to a slope."""

NOTE = (
    "One decoding, and what each of its steps predicts. The divergence from the truth is the cross-entropy "
    "of the teacher's codes; that from the final prediction ends at zero by definition. All positions "
    "count alike, also those that are visible already, which are predicted anew: agreement need not be "
    "complete at the last step."
)

MASKED = (
    "They are the least confident ones, and different ones at every step: a line that falls here does not "
    "say that predictions get worse."
)


def applies(run: Run) -> bool:
    """Whether anything was measured by step."""
    return not by_step(run).empty


def by_step(run: Run) -> pd.DataFrame:
    """The numbers of single decoding steps."""
    return run.frame[run.frame["step"].notna()] if "step" in run.frame else run.frame.iloc[:0]


def render(run: Run) -> Markup:
    """A chart for each quantity, over all positions and over the masked ones, and all numbers."""
    numbers = by_step(run)
    masked = drawn(run, "masked")
    folds = (
        [Fold("Only the positions that a step still predicts", (Note(MASKED), Charts(masked)))]
        if masked
        else []
    )
    table = pivot(run, numbers, "step", "step {}", "Every quantity by decoding step.")
    return section(
        run,
        TITLE,
        Note(NOTE, "small"),
        Note("Bands are 95 % intervals over seeds."),
        Charts(drawn(run, "all"), rows_legend(run)),
        *folds,
        Fold("All numbers of the steps", (table,)),
    )


def drawn(run: Run, positions: str) -> tuple[Chart, ...]:
    """A chart for each quantity over those positions."""
    numbers = select(by_step(run), positions=positions)
    axis = Axis("decoding step", "even", least_span=LEAST_SPAN)
    charts = (
        row_chart(run, select(numbers, metric=metric), "step", axis, f"{positions} positions")
        for metric in display_order(run, numbers["metric"].unique())
    )
    return tuple(chart for chart in charts if chart is not None)
