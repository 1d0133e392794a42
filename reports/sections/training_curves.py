"""The training curves of a figure (Figures 4b, 9 to 14)."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup

from experiments.records import Run
from reports.charts import Chart
from reports.html import Charts, Note, rows_legend, section
from reports.losses import loss_chart

ORDER, TITLE = 60, "Training curves"


def applies(run: Run) -> bool:
    """Whether the experiment has curves and a step was logged."""
    return bool(drawn(run))


def render(run: Run) -> Markup:
    """A chart for each curve."""
    note = "By training step, smoothed: one line for each row and seed, a dot where a stage ends."
    return section(run, TITLE, Note(note), Charts(tuple(drawn(run)), rows_legend(run)))


@lru_cache(maxsize=1)
def drawn(run: Run) -> list[Chart]:
    """A chart for each curve of the experiment that has points."""
    charts = (
        loss_chart(run, curve.title, " and ".join(curve.stages), curve.quantity, curve.stages)
        for curve in run.experiment.curves
    )
    return [chart for chart in charts if chart is not None]
