"""Charts of a study, in the style of `reports.figures`: its history, importances, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports.figures import GRID, MUTED, NOTE, SERIES, render

VALUE, BEST, UNFINISHED = SERIES[0], SERIES[2], SERIES[1]

BEST_SHARE = 0.25
"""Of the complete trials, the best ones, which parallel coordinates bring forward."""


@dataclass(frozen=True)
class History:
    """The objective by trial number, the best so far, and the trials without a value."""

    label: str
    values: tuple[tuple[int, float], ...]
    best: tuple[tuple[int, float], ...]
    pruned: tuple[int, ...]
    failed: tuple[int, ...]


@dataclass(frozen=True)
class Importance:
    """Shares in [0,1] by parameter, the largest first."""

    shares: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Axis:
    """One vertical axis of parallel coordinates: labels at heights in [0,1]."""

    name: str
    labels: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Parallel:
    """A line for each complete trial; `ranks` are in [0,1], 0 for the best."""

    axes: tuple[Axis, ...]
    lines: tuple[tuple[float, ...], ...]
    ranks: tuple[float, ...]


@lru_cache(maxsize=64)
def draw_history(chart: History) -> str:
    """The values as points, the best so far as steps, pruned and failed trials as marks at the bottom."""

    def paint(axes: Axes) -> None:
        # The best so far under the points, which lie on it where a trial improves.
        if chart.best:
            x, y = zip(*chart.best, strict=True)
            axes.step(x, y, where="post", color=BEST, linewidth=1.8)
        if chart.values:
            x, y = zip(*chart.values, strict=True)
            axes.plot(x, y, linestyle="none", marker="o", markersize=5, color=VALUE, markeredgewidth=0)
        for numbers, marker in ((chart.pruned, "|"), (chart.failed, "x")):
            at = axes.get_xaxis_transform()
            axes.plot(
                numbers,
                [0.03] * len(numbers),
                transform=at,
                linestyle="none",
                marker=marker,
                color=UNFINISHED,
                markersize=6,
                markeredgewidth=1.4,
            )
        axes.margins(x=0.03, y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("trial")
        axes.grid(visible=False, axis="x")

    # Room on top for the power of ten of very small values.
    return render(paint, repr(chart), box=(0.12, 0.15, 0.87, 0.77))


@lru_cache(maxsize=64)
def draw_importance(chart: Importance) -> str:
    """Bars with their share in percent."""

    def paint(axes: Axes) -> None:
        for place, (name, share) in enumerate(chart.shares):
            axes.barh(place, share, height=0.5, color=VALUE, linewidth=0)
            axes.text(0, place - 0.36, name, va="bottom", **NOTE)
            axes.text(share + 0.015, place, f"{100 * share:.0f} %", va="center", **NOTE)
        axes.set_ylim(len(chart.shares) - 0.4, -0.75)
        axes.set_xlim(0, 1.12)
        axes.grid(visible=False)
        axes.set_yticks([])
        axes.set_xticks([])
        for side in axes.spines.values():
            side.set_visible(False)
        axes.axvline(0, color=MUTED, linewidth=0.8)

    height = 0.5 + 0.55 * len(chart.shares)
    return render(paint, repr(chart), size=(4.6, height), box=(0.03, 0.04, 0.94, 0.92))


@lru_cache(maxsize=64)
def draw_parallel(chart: Parallel) -> str:
    """A polyline for each trial through its parameters to its value, the best quarter in front."""

    def paint(axes: Axes) -> None:
        places = range(len(chart.axes))
        for place, axis in enumerate(chart.axes):
            axes.axvline(place, color=GRID, linewidth=1.0)
            axes.text(place, 1.12, axis.name, ha="center", va="bottom", **NOTE)
            last = place == len(chart.axes) - 1
            for height, label in axis.labels:
                x, anchor = (place + 0.03, "left") if last else (place - 0.03, "right")
                # Above its height, where the lines that meet there do not strike it through.
                axes.text(x, height + 0.012, label, ha=anchor, va="bottom", **NOTE)
        order = sorted(range(len(chart.lines)), key=lambda index: -chart.ranks[index])
        for index in order:
            good = chart.ranks[index] <= BEST_SHARE
            axes.plot(
                places,
                chart.lines[index],
                color=BEST if good else MUTED,
                linewidth=1.8 if good else 0.9,
                alpha=0.95 if good else 0.4,
            )
        axes.set_xlim(-0.45, len(chart.axes) - 0.55)
        axes.set_ylim(-0.06, 1.06)
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_visible(False)

    return render(paint, repr(chart), size=(9.4, 3.2), box=(0.01, 0.03, 0.98, 0.84))


def scaled(values: Sequence[float], log: bool) -> list[float]:
    """`values` from 0 for the smallest to 1 for the largest, by their logarithm if `log`."""
    points = [math.log(value) if log else value for value in values]
    low, high = min(points), max(points)
    return [(point - low) / (high - low) if high > low else 0.5 for point in points]
