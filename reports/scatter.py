"""A chart of named points: the quality of each system over its rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from reports.charts import Chart
from reports.figures import MUTED, NOTE, SERIES, render

SIZE = (9.4, 4.4)
"""Size of the figure in inches: as wide as a page, because names would overlap otherwise."""

LETTER, LINE = 0.0085, 0.05
"""Width of a letter and height of a line, as shares of the axes."""

Box = tuple[float, float, float, float]
"""Left, bottom, right and top, as shares of the axes."""


@dataclass(frozen=True)
class Point:
    """A system; one set `apart` is drawn hollow."""

    name: str
    x: float
    y: float
    apart: bool = False


def scatter_chart(title: str, subtitle: str, points: Iterable[Point], x_label: str) -> Chart | None:
    """Draw positive finite `points` with names on logarithmic axes; returns None if there are none."""
    shown = [point for point in points if _is_positive(point.x) and _is_positive(point.y)]
    if not shown:
        return None

    def paint(axes: Axes) -> None:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlim(min(point.x for point in shown) / 1.3, max(point.x for point in shown) * 1.9)
        axes.set_ylim(min(point.y for point in shown) / 1.2, max(point.y for point in shown) * 1.2)
        _ticks(axes)
        for point in shown:
            face = "none" if point.apart else SERIES[0]
            edge = MUTED if point.apart else SERIES[0]
            axes.plot(point.x, point.y, "o", markersize=6, markerfacecolor=face, markeredgecolor=edge)
        for point, (x, y, side) in zip(shown, _places(axes, shown), strict=True):
            axes.text(x, y, point.name, ha=side, va="center", transform=axes.transAxes, **NOTE)
        axes.set_xlabel(x_label, parse_math=False)

    words = "; ".join(f"{point.name}: {point.y:.4g} at {point.x:,.0f}" for point in shown)
    svg = render(paint, f"{title} {subtitle} {shown}", SIZE, (0.06, 0.11, 0.93, 0.87))
    return Chart(title, subtitle, f"{title} {subtitle} over {x_label}. {words}.", Markup(svg))


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _ticks(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    axes.xaxis.set_minor_locator(NullLocator())


def _places(axes: Axes, points: Sequence[Point]) -> list[tuple[float, float, str]]:
    """Place each name next to its point, if possible without covering other names or points."""
    at = [
        tuple(axes.transAxes.inverted().transform(axes.transData.transform((point.x, point.y))))
        for point in points
    ]
    taken: list[Box] = [(x - 0.008, y - 0.018, x + 0.008, y + 0.018) for x, y in at]
    found = []
    for point, (x, y) in zip(points, at, strict=True):
        width = LETTER * len(point.name)
        candidates = [
            (x + side * 0.012, y + shift * LINE, "left" if side > 0 else "right")
            for shift in (0, 1.02, -1.02, 2.04, -2.04, 3.06, -3.06)
            for side in (1, -1)
        ]
        boxes = [_box(place, width) for place in candidates]
        clear = (
            number
            for number, box in enumerate(boxes)
            if box[0] > 0 and box[2] < 1 and not any(_overlap(box, other) for other in taken)
        )
        number = next(clear, 0)
        taken.append(boxes[number])
        found.append(candidates[number])
    return found


def _box(place: tuple[float, float, str], width: float) -> Box:
    x, y, side = place
    left = x if side == "left" else x - width
    return left, y - LINE / 2, left + width, y + LINE / 2


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
