"""The cost of training by row and stage, and its projection to the paper's size (Table 5)."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup

from experiments.records import Run
from experiments.records.costs import stage_costs
from experiments.requests import GPU_FLOPS
from reports.html import section
from reports.numbers import byte_size, duration, rough_duration
from reports.tables import Column, Group, Line, Table, texts

ORDER, TITLE = 100, "Cost by stage"

COLUMNS = (
    Column("Row"),
    Column("Stage", words=True),
    Column("Seeds"),
    Column("Images"),
    Column("Time"),
    Column("Images/s"),
    Column("Peak memory", ("of the process",)),
    Column("GFLOP/s"),
    Column("GPU hours"),
    Column("On this machine"),
)


def applies(run: Run) -> bool:
    """Whether costs are a result of the experiment and a stage is done."""
    return run.experiment.costs and not stage_costs(run).empty


def render(run: Run) -> Markup:
    """A line for each row and stage."""
    return section(run, TITLE, table(run))


def table(run: Run) -> Table:
    """The costs as means over seeds."""
    stages = stage_costs(run).groupby(["row", "stage"], sort=False)
    lines = tuple(_line(run.label(row), stage, costs) for (row, stage), costs in stages)
    caption = (
        "Measured on this machine, mean over seeds; and projected to the paper's size: counted operations "
        f"of a training step, times images, at {GPU_FLOPS / 1e12:g} TFLOP/s per GPU, a fifth of an RTX "
        "4090's peak in fp16, and at the measured rate of this machine."
    )
    heads = (("", 2), ("Measured here", 6), ("At the paper's size, projected", 2))
    return Table(caption, COLUMNS, (Group("", lines),), heads)


def _line(label: str, stage: str, costs: pd.DataFrame) -> Line:
    def mean(column: str) -> float:
        return math.fsum(costs[column]) / len(costs)

    speed, peak = mean("images_per_second"), costs["peak_bytes"].max()
    cells = (
        stage,
        str(len(costs)),
        f"{costs['images'].iloc[0]:,}",
        duration(mean("seconds")),
        f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}",
        "" if pd.isna(peak) else byte_size(peak),
        f"{mean('flops_per_second') / 1e9:.3g}",
        f"{costs['paper_gpu_hours'].iloc[0]:,.0f}",
        rough_duration(3600 * mean("paper_hours_here")),
    )
    return Line(label, texts(cells))
