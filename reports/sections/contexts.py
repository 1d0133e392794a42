"""What a context is worth (Appendix C): all numbers measured by share of visible codes."""

from __future__ import annotations

from markupsafe import Markup

from experiments.records import Run
from reports.analyses import charts_over, measured_at
from reports.charts import Chart
from reports.html import Charts, Note, rows_legend, section
from reports.tables import pivot

ORDER, TITLE = 50, "Context by context"

NOTE = (
    "All contexts of a visible share are measured at the same masked positions. The first-step prediction "
    "comes from the tokens alone, so it holds no information about the true codes beyond them: a decoder "
    "gains only computation from its own codes, for which a second pass over the whole prediction and a "
    "deeper decoder are the controls. The bound is the accuracy that the model's own distribution promises, "
    "which would be C.2's if that distribution were the true one; a bound above the accuracy means that the "
    "decoder is overconfident. Bands are 95 % intervals over seeds."
)


def applies(run: Run) -> bool:
    """Whether anything was measured by visible share."""
    return not measured_at(run, "visible").empty


def render(run: Run) -> Markup:
    """All numbers, and a chart for each difference between two contexts."""
    caption = "By the visible share of the codes, and by context if a number has one."
    table = pivot(run, measured_at(run, "visible"), "visible", "{:.0%} visible", caption)
    return section(run, TITLE, Note(NOTE), table, Charts(drawn(run), rows_legend(run)))


def drawn(run: Run) -> tuple[Chart, ...]:
    """A chart for each quantity that compares two contexts."""
    numbers = measured_at(run, "visible")
    if "context" in numbers:
        numbers = numbers[numbers["context"].isna()]
    return charts_over(run, numbers, "visible", "visible share of the codes", "difference of two contexts")
