"""Line charts: a table of points as inline SVG, with a description in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from experiments.records import Run
from experiments.records.frame import over_seeds
from reports.figures import DASHES, MARKERS, MUTED, NOTE, NUM_COLORS, SERIES, render
from reports.numbers import MINUS

POINTS = ("line", "index", "x", "y", "half_width", "end")
"""Columns of the points that `line_chart` draws.

`line` names the line that a point belongs to, `index` selects its color, marker and dashes, `half_width` is
half the width of the interval (missing if there is none), and `end` marks the end of a training stage.
"""


@dataclass(frozen=True)
class Axis:
    """The horizontal axis: its label, its scale and related settings.

    Attributes:
        label: label of the axis.
        scale: `powers` and `even` have a tick at each value; `marked` and `log` are for a few points, and
            `linear` is for long curves without markers.
        start: start of a linear axis.
        least_span: minimum span of the vertical axis, in the unit of the values.
    """

    label: str
    scale: Literal["powers", "even", "marked", "log", "linear"] = "linear"
    start: float = 0.0
    least_span: float = 0.0


@dataclass(frozen=True)
class Chart:
    """A drawing with its texts; `alternative` describes it for readers who cannot see it."""

    title: str
    subtitle: str
    alternative: str
    svg: Markup
    legend: tuple[tuple[int, str], ...] = ()


def row_chart(
    run: Run,
    frame: pd.DataFrame,
    x: str,
    axis: Axis,
    subtitle: str,
    references: Mapping[str, float] | None = None,
) -> Chart | None:
    """A line for each row of the experiment over the column `x`: means over seeds with intervals.

    Args:
        run: the run, which defines the order and labels of rows.
        frame: numbers of one metric.
        x: column of the horizontal axis.
        axis: settings of the horizontal axis.
        subtitle: text that distinguishes the chart from others of the metric.
        references: reference values by name, drawn as horizontal lines.

    Returns:
        None if no row has a finite number.
    """
    rows = [row.name for row in run.experiment.trained_rows]
    means = over_seeds(frame[frame["row"].isin(rows) & frame[x].notna()], "row", x)
    points = pd.DataFrame(
        {
            "line": [run.label(row) for row in means["row"]],
            "index": [rows.index(row) for row in means["row"]],
            "x": pd.to_numeric(means[x], errors="coerce").astype(float),
            "y": [each.mean for each in means["estimate"]],
            "half_width": [each.half_width for each in means["estimate"]],
            "end": False,
        },
        columns=list(POINTS),
    )
    metric = run.metric(frame["metric"].iloc[0]) if len(frame) else None
    return line_chart(metric.heading, subtitle, points, axis, references or {}) if metric else None


def line_chart(
    title: str, subtitle: str, points: pd.DataFrame, axis: Axis, references: Mapping[str, float]
) -> Chart | None:
    """Draw the finite `points` (columns `POINTS`) as lines; returns None if there are none."""
    points = points[np.isfinite(points[["x", "y"]].astype(float)).all(axis="columns")].sort_values(
        ["index", "line", "x"], kind="stable"
    )
    if points.empty:
        return None
    references = {name: value for name, value in references.items() if math.isfinite(value)}
    words = [f"{line}: {_words(group)}" for line, group in points.groupby("line", sort=False)]
    words += [f"{name}: {_number(value)}" for name, value in references.items()]
    legend = points.drop_duplicates("index")[["index", "line"]].itertuples(index=False, name=None)

    def paint(axes: Axes) -> None:
        for _, group in points.groupby(["index", "line"], sort=False):
            _draw_line(axes, group, markers=axis.scale != "linear")
        _scale_x(axes, points, axis)
        _scale_y(axes, points, axis.least_span, references)
        axes.set_xlabel(axis.label, parse_math=False)
        axes.grid(visible=False, axis="x")

    # Line names are text of the page, not of the drawing. Fixed margins align the axes of neighboring charts.
    identity = f"{axis} {references} {points.drop(columns='line').to_csv(index=False)}"
    svg = render(paint, identity, box=(0.12, 0.15, 0.75 if references else 0.87, 0.83))
    said = f"{title} {subtitle} over {axis.label}. {'; '.join(words)}."
    return Chart(title, subtitle, said, Markup(svg), tuple(legend))


def _words(group: pd.DataFrame) -> str:
    ends = (group.iloc[0], group.iloc[-1])[: 1 + (len(group) > 1)]
    return ", ".join(f"{_number(end.y)} at {end.x:g}" for end in ends)


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", MINUS)


def _draw_line(axes: Axes, points: pd.DataFrame, markers: bool) -> None:
    index = int(points["index"].iloc[0])
    color = SERIES[index % NUM_COLORS]
    (line,) = axes.plot(
        points["x"],
        points["y"],
        color=color,
        linewidth=1.8 if markers else 1.4,
        marker=MARKERS[index % NUM_COLORS] if markers else None,
        markersize=5.5,
        markeredgewidth=0,
    )
    if dashes := DASHES[index // NUM_COLORS % len(DASHES)]:
        line.set_dashes(dashes)
    banded = points[points["half_width"].notna()].astype({"half_width": float})
    if len(banded):
        low, high = banded["y"] - banded["half_width"], banded["y"] + banded["half_width"]
        axes.fill_between(banded["x"], low, high, color=color, alpha=0.16, linewidth=0)
    ends = points[points["end"]]
    axes.plot(ends["x"], ends["y"], color=color, linestyle="none", marker="o", markersize=4.5)


def _scale_x(axes: Axes, points: pd.DataFrame, axis: Axis) -> None:
    ticks = sorted(set(points["x"]))
    if axis.scale == "linear":
        axes.set_xlim(left=axis.start)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(
            lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
        )
    elif axis.scale == "powers":
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        axes.set_xlim(ticks[0] / 1.19, ticks[-1] * 1.19)
    elif axis.scale == "even":
        axes.set_xticks(ticks, labels=[f"{tick:g}" for tick in ticks])
        edge = 0.04 * (ticks[-1] - ticks[0] or 1)
        axes.set_xlim(ticks[0] - edge, ticks[-1] + edge)
    else:
        axes.set_xscale("log" if axis.scale == "log" else "linear")
        axes.margins(x=0.06)
        if axis.scale == "log":
            # A decade or two has few powers of ten, so other values are labeled, too.
            span = ticks[-1] / ticks[0]
            subs = range(1, 10) if span < 5 else (1, 2, 5) if span < 100 else (1,)
            axes.xaxis.set_major_locator(LogLocator(subs=tuple(subs)))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _scale_y(axes: Axes, points: pd.DataFrame, least_span: float, references: Mapping[str, float]) -> None:
    """Set limits that keep the lines readable, cutting off wide bands and distant references."""
    low, high = points["y"].min(), points["y"].max()
    span = (high - low) or 0.1 * abs(high) or 1.0
    half = points["half_width"].fillna(0).astype(float).clip(upper=span)
    low, high = min(low, (points["y"] - half).min()), max(high, (points["y"] + half).max())
    # Differences below one percent are not magnified, so that constant curves look flat and ticks stay short.
    least_span = max(least_span, 0.01 * max(abs(low), abs(high)))
    if high - low < least_span:
        low, high = (low + high - least_span) / 2, (low + high + least_span) / 2
    span = (high - low) or span
    near = {name: y for name, y in references.items() if low - 2 * span <= y <= high + 2 * span}
    low, high = min([low, *near.values()]), max([high, *near.values()])
    margin = 0.07 * ((high - low) or span)
    # A reference beyond the limits is named in its own strip at the edge.
    above = [f"↑ {name} {y:.3g}" for name, y in references.items() if name not in near and y > high]
    below = [f"↓ {name} {y:.3g}" for name, y in references.items() if name not in near and y < low]
    axes.set_ylim(low - margin * (2.2 if below else 1), high + margin * (2.2 if above else 1))
    if 0 < max(abs(low), abs(high)) < 1e-3:
        # In the ticks, because there is no room above the axes for a common power of ten.
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1e}" if value else "0")
    for notes, place, anchor in ((above, 0.99, "top"), (below, 0.02, "bottom")):
        # In one line, because two labels at one edge would overlap.
        axes.text(0.99, place, "   ".join(notes), ha="right", va=anchor, transform=axes.transAxes, **NOTE)
    _draw_references(axes, near, room=high - low + 2 * margin)


def _draw_references(axes: Axes, near: Mapping[str, float], room: float) -> None:
    crowded = len(near) > 1 and max(near.values()) - min(near.values()) < 0.06 * room
    for name, y in near.items():
        anchor = "center_baseline" if not crowded else "bottom" if y == max(near.values()) else "top"
        axes.axhline(y, color=MUTED, linewidth=1.1, dashes=(4, 3))
        # Outside the axes, so that no line crosses the label.
        axes.text(1.015, y, name, va=anchor, transform=axes.get_yaxis_transform(), **NOTE)
