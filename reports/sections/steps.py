"""The predictions of each decoding step (Figure 4a): all numbers measured at single steps."""

from __future__ import annotations

from markupsafe import Markup

from experiments.records import Run
from experiments.records.frame import select
from reports.analyses import charts_over, measured_at
from reports.charts import Chart
from reports.html import Charts, Fold, Note, rows_legend, section
from reports.tables import pivot

ORDER, TITLE = 40, "Step by step"

NOTE = (
    "The predictions of each step of one decoding. The divergence from the truth is the cross-entropy of "
    "the teacher's codes; that from the final prediction ends at zero by definition. All positions count "
    "equally, including those already visible, which are predicted again, so agreement need not be complete "
    "at the last step. Bands are 95 % intervals over seeds."
)

MASKED = (
    "These are the least confident positions, which differ at every step, so a falling line does not mean "
    "that predictions get worse."
)


def applies(run: Run) -> bool:
    """Whether anything was measured by step."""
    return not measured_at(run, "step").empty


def render(run: Run) -> Markup:
    """A chart for each quantity, over all positions and over the masked ones, and all numbers."""
    table = pivot(run, measured_at(run, "step"), "step", "step {}", "Every quantity by decoding step.")
    masked = (Note(MASKED), Charts(drawn(run, "masked")))
    return section(
        run,
        TITLE,
        Note(NOTE),
        Charts(drawn(run, "all"), rows_legend(run)),
        Fold("Only the positions that a step still predicts", masked),
        Fold("All numbers of the steps", (table,)),
    )


def drawn(run: Run, positions: str) -> tuple[Chart, ...]:
    """A chart for each quantity at the given positions."""
    numbers = select(measured_at(run, "step"), positions=positions)
    return charts_over(run, numbers, "step", "decoding step", f"{positions} positions")
