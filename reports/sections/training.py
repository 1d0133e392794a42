"""The training loss of every row and seed."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup

from experiments.records import Run
from reports.charts import Chart
from reports.html import Charts, Note, rows_legend, section
from reports.losses import loss_chart

ORDER, TITLE = 150, "Training"

PIXEL_STAGES = ("fine-tuning", "single-step-fine-tuning")
"""Stages with a loss on pixels, whose scale differs from that of the earlier cross-entropies."""


def applies(run: Run) -> bool:
    """Whether a step was logged."""
    return bool(drawn(run))


def render(run: Run) -> Markup:
    """The loss from the first step, a closer view of its second half, and the loss of stage 3 separately."""
    note = (
        "Loss by training step, smoothed: one line for each row and seed through all its stages, with a dot "
        "where one ends. Losses of different stages weight the positions differently."
    )
    return section(run, TITLE, Note(note), Charts(tuple(drawn(run)), rows_legend(run)))


@lru_cache(maxsize=1)
def drawn(run: Run) -> list[Chart]:
    """The charts that have points."""
    stages = {stage.stage for row in run.rows for stage in row.training}
    early = tuple(stages - {*PIXEL_STAGES, "teacher"})
    charts = (
        loss_chart(run, "Training loss", "from the first step", "loss", early),
        loss_chart(run, "Training loss", "second half, closer", "loss", early, half=True),
        loss_chart(run, "Stage 3", "loss on pixels", "loss", PIXEL_STAGES),
    )
    return [chart for chart in charts if chart is not None]
