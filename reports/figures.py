"""Line charts as inline SVG that follow the page's colours, light and dark.

A `Panel` is plain data and hashable, so a chart whose data did not change since the last rebuild of the
page is not drawn again. No text from data enters the SVG: titles and legends are the page's business.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""Marker of the i-th row: colour is never the only difference."""

DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1, 1.5), (5, 2, 1, 2))
"""Line pattern, the same for every full round through the colours."""

NUM_COLOURS = len(MARKERS)

# Stand-ins that matplotlib accepts; `_themed` turns each into a CSS variable of the page.
MUTED, GRID = "#0000f1", "#0000f2"
SERIES = tuple(f"#0000{index:02x}" for index in range(1, NUM_COLOURS + 1))
_VARIABLES = {MUTED: "--muted", GRID: "--grid"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES)
}

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "axes.unicode_minus": True,
}

NOTE: dict[str, Any] = {"color": MUTED, "fontsize": 9.2, "parse_math": False}


@dataclass(frozen=True)
class Series:
    """A line of a chart: `index` picks colour, marker and dashes; `band` is half the interval's width."""

    index: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    band: tuple[float | None, ...] = ()
    stage_ends: tuple[float, ...] = ()
    """Where a training stage ends, marked by a dot."""


@dataclass(frozen=True)
class Reference:
    """A horizontal line that bounds the series, named by a fixed word of ours."""

    name: str
    value: float


@dataclass(frozen=True)
class Panel:
    """One chart."""

    series: tuple[Series, ...]
    references: tuple[Reference, ...] = ()
    x_label: str = ""
    ticks: tuple[int, ...] = ()
    """Ticks of a log2 axis; empty for a linear axis."""
    even_ticks: tuple[int, ...] = ()
    """Ticks of a linear axis of few points, which are marked."""
    least_span: float = 0.0
    """The vertical axis shows at least so much, in the unit of the values."""
    x_from: float = 0.0
    """Where a linear axis begins."""
    marked: bool = False
    """Whether the points of a linear or decimal axis are marked: few values rather than a long curve."""
    log_x: bool = False
    """A decimal logarithm, for marked points."""


@lru_cache(maxsize=256)
def draw(panel: Panel) -> str:
    """The panel as an `<svg>` element with ids of its own, without fonts, titles or metadata."""

    def paint(axes: Axes) -> None:
        for series in panel.series:
            _draw_series(axes, series, markers=bool(panel.ticks or panel.even_ticks) or panel.marked)
        _scale_x(axes, panel)
        _scale_y(axes, panel)
        axes.set_xlabel(panel.x_label)
        axes.grid(visible=False, axis="x")

    # Fixed margins line the axes of neighbouring charts up, and spare the search for better ones.
    return render(paint, repr(panel), box=(0.12, 0.15, 0.75 if panel.references else 0.87, 0.83))


def render(
    paint: Callable[[Axes], None],
    identity: str,
    size: tuple[float, float] = (4.6, 3.0),
    box: tuple[float, float, float, float] = (0.12, 0.15, 0.87, 0.83),
) -> str:
    """What `paint` draws into axes at `box` of a figure of `size` inches, as `draw` returns it.

    `identity` says what is drawn: ids within the page are made from it.
    """
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": "sftok"}):
        figure = Figure(figsize=size)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(box)
        paint(axes)
        axes.tick_params(length=0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _themed(buffer.getvalue(), prefix="chart-" + hashlib.sha256(identity.encode()).hexdigest()[:10])


def swatch(index: int) -> str:
    """A small `<svg>` for the legend: the line and marker of the series at `index`."""
    shapes = {
        "o": '<circle cx="14" cy="6" r="3.6"/>',
        "s": '<rect x="10.7" y="2.7" width="6.6" height="6.6"/>',
        "^": '<path d="M14 1.6 18.2 9.4 9.8 9.4Z"/>',
        "D": '<path d="M14 1.4 18.6 6 14 10.6 9.4 6Z"/>',
        "v": '<path d="M14 10.4 18.2 2.6 9.8 2.6Z"/>',
        "P": '<path d="M12.4 2h3.2v2.4H18v3.2h-2.4V10h-3.2V7.6H10V4.4h2.4Z"/>',
        "X": '<path d="M11 1.6 14 4.4l3-2.8L18.4 3l-2.9 3 2.9 3-1.4 1.4-3-2.8-3 2.8L9.6 9l2.9-3-2.9-3Z"/>',
        "p": '<path d="M14 1.6 18.3 4.8 16.7 9.8 11.3 9.8 9.7 4.8Z"/>',
    }
    dashes = " ".join(f"{1.6 * length:g}" for length in DASHES[index // NUM_COLOURS % len(DASHES)])
    colour = f"color:var(--series-{index % NUM_COLOURS})"
    return (
        f'<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true" style="{colour}">'
        f'<path d="M1 6H27" stroke="currentColor" stroke-width="1.8" stroke-dasharray="{dashes}"/>'
        f'<g fill="currentColor">{shapes[MARKERS[index % NUM_COLOURS]]}</g></svg>'
    )


def _draw_series(axes: Axes, series: Series, markers: bool) -> None:
    colour = SERIES[series.index % NUM_COLOURS]
    dashes = DASHES[series.index // NUM_COLOURS % len(DASHES)]
    (line,) = axes.plot(
        series.x,
        series.y,
        color=colour,
        linewidth=1.8 if markers else 1.4,
        marker=MARKERS[series.index % NUM_COLOURS] if markers else None,
        markersize=5.5,
        markeredgewidth=0,
    )
    if dashes:
        line.set_dashes(dashes)
    banded = [
        (x, y - half, y + half)
        for x, y, half in zip(series.x, series.y, series.band, strict=False)
        if half is not None
    ]
    if banded:
        x, low, high = zip(*banded, strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
    ends = [(x, y) for x, y in zip(series.x, series.y, strict=True) if x in series.stage_ends]
    if ends:
        axes.plot(*zip(*ends, strict=True), color=colour, linestyle="none", marker="o", markersize=4.5)


def _scale_x(axes: Axes, panel: Panel) -> None:
    if panel.even_ticks:
        first, last = panel.even_ticks[0], panel.even_ticks[-1]
        axes.set_xticks(panel.even_ticks, labels=[str(tick) for tick in panel.even_ticks])
        axes.set_xlim(first - 0.04 * (last - first), last + 0.04 * (last - first))
        return
    if panel.marked:
        if panel.log_x:
            axes.set_xscale("log")
        axes.margins(x=0.06)
        return
    if not panel.ticks:
        axes.set_xlim(left=panel.x_from)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(
            lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
        )
        return
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(panel.ticks, labels=[str(tick) for tick in panel.ticks])
    axes.set_xlim(panel.ticks[0] / 1.19, panel.ticks[-1] * 1.19)


def _scale_y(axes: Axes, panel: Panel) -> None:
    """Limits that keep the rows readable: wide bands and far references are cut off rather than followed."""
    values = [y for series in panel.series for y in series.y if math.isfinite(y)]
    if not values:
        return
    low, high = min(values), max(values)
    span = (high - low) or 0.1 * abs(high) or 1.0
    for series in panel.series:
        for y, half in zip(series.y, series.band, strict=False):
            if half is not None and math.isfinite(y):
                low, high = min(low, y - min(half, span)), max(high, y + min(half, span))
    # Differences of less than a hundredth are not blown up: constant curves stay flat, ticks short.
    if high - low < 0.01 * max(abs(low), abs(high)):
        middle, half = (low + high) / 2, 0.005 * max(abs(low), abs(high))
        low, high = middle - half, middle + half
    if high - low < panel.least_span:
        low, high = ((low + high + sign * panel.least_span) / 2 for sign in (-1, 1))
    span = (high - low) or span
    near = [item for item in panel.references if low - 2 * span <= item.value <= high + 2 * span]
    low, high = min([low, *(item.value for item in near)]), max([high, *(item.value for item in near)])
    margin = 0.07 * ((high - low) or span)
    # A reference beyond the limits is named in a strip of its own at the edge.
    beyond = [item for item in panel.references if item not in near]
    below, above = (any(sign * item.value > sign * high for item in beyond) for sign in (-1, 1))
    axes.set_ylim(low - margin * (2.2 if below else 1), high + margin * (2.2 if above else 1))
    if 0 < max(abs(low), abs(high)) < 1e-3:
        # In the ticks, because a common power of ten would stand above the axes, where there is no room.
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.1e}" if value else "0")
    heights = sorted(item.value for item in near)
    crowded = len(near) > 1 and heights[-1] - heights[0] < 0.06 * (high - low + 2 * margin)
    for item in near:
        anchor = "center_baseline" if not crowded else "bottom" if item.value == heights[-1] else "top"
        axes.axhline(item.value, color=MUTED, linewidth=1.1, dashes=(4, 3))
        # Outside the axes, where no line can run through it.
        axes.text(1.015, item.value, item.name, va=anchor, transform=axes.get_yaxis_transform(), **NOTE)
    for arrow, place, anchor, top in (("↑", 0.99, "top", True), ("↓", 0.02, "bottom", False)):
        # In one line: two labels at one edge would cover each other.
        notes = [f"{arrow} {item.name} {item.value:.3g}" for item in beyond if (item.value > high) == top]
        if notes:
            axes.text(0.99, place, "   ".join(notes), ha="right", va=anchor, transform=axes.transAxes, **NOTE)


def _themed(svg: str, prefix: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1
    )
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    referenced = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in referenced else "", svg)
    svg = re.sub(r' id="', f' id="{prefix}-', svg)
    svg = re.sub(r'url\(#|xlink:href="#', lambda found: found[0].removeprefix("xlink:") + f"{prefix}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return re.sub(r"\n\s*", "\n", svg)
