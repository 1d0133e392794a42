"""Matplotlib drawings as inline SVG that follows the light and dark colors of the page."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
"""Marker of the i-th row, so that color is never the only difference."""

DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1, 1.5), (5, 2, 1, 2))
"""Line patterns, one for each cycle through the colors."""

NUM_COLORS = len(MARKERS)

# Placeholder colors that Matplotlib accepts; `_themed` turns each into a CSS variable of the page.
MUTED, GRID = "#0000f1", "#0000f2"
SERIES = tuple(f"#0000{index:02x}" for index in range(1, NUM_COLORS + 1))
_VARIABLES = {MUTED: "--muted", GRID: "--grid"} | {
    color: f"--series-{index}" for index, color in enumerate(SERIES)
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

MAX_DRAWN = 512

_drawn: dict[str, str] = {}
"""Cached drawings by identity, because pages are rebuilt after every artifact with mostly the same charts."""

NOTE: dict[str, Any] = {"color": MUTED, "fontsize": 9.2, "parse_math": False}


def render(
    paint: Callable[[Axes], None],
    identity: str,
    size: tuple[float, float] = (4.6, 3.0),
    box: tuple[float, float, float, float] = (0.12, 0.15, 0.87, 0.83),
) -> str:
    """Draw with `paint` into axes at `box`; returns an `<svg>` element without fonts, titles and metadata.

    Args:
        paint: draws into the axes.
        identity: everything that determines the drawing; used for caching and for ids within the SVG.
        size: size of the figure in inches.
        box: left, bottom, width and height of the axes, as shares of the figure.
    """
    if identity in _drawn:
        return _drawn[identity]
    with style():
        figure = Figure(figsize=size)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(box)
        paint(axes)
        axes.tick_params(length=0)
        drawn = to_svg(figure, identity)
    if len(_drawn) >= MAX_DRAWN:
        _drawn.clear()
    _drawn[identity] = drawn
    return drawn


def style() -> contextlib.AbstractContextManager[None]:
    """The block in which Matplotlib uses the page's style."""
    return matplotlib.rc_context(_STYLE | {"svg.hashsalt": "sftok"})


def to_svg(figure: Figure, identity: str) -> str:
    """The figure as an `<svg>` element, with ids derived from `identity`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _themed(buffer.getvalue(), "chart-" + hashlib.sha256(identity.encode()).hexdigest()[:10])


def swatch(index: int) -> str:
    """A small `<svg>` for the legend, with the line and marker of the series at `index`."""
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
    dashes = " ".join(f"{1.6 * length:g}" for length in DASHES[index // NUM_COLORS % len(DASHES)])
    color = f"color:var(--series-{index % NUM_COLORS})"
    return (
        f'<svg class="swatch" viewBox="0 0 28 12" aria-hidden="true" style="{color}">'
        f'<path d="M1 6H27" stroke="currentColor" stroke-width="1.8" stroke-dasharray="{dashes}"/>'
        f'<g fill="currentColor">{shapes[MARKERS[index % NUM_COLORS]]}</g></svg>'
    )


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
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return re.sub(r"\n\s*", "\n", svg)
