"""What analyses found, as charts and tables: Figure 4a by step, Appendix C by context and visible share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from experiments.records.quantities import is_of_step, of_step, visible_percent, words_of
from experiments.records.results import TableRun
from experiments.records.verdicts import Cells, Estimate, estimate
from reports.curves import Chart
from reports.figures import Panel, Series
from reports.metrics import metric_info
from reports.numbers import decimals_for, fixed, plus_minus

STEP_QUANTITIES = ("kl_to_truth", "kl_to_final", "accuracy", "agreement_with_final")

CONTEXTS = ("single", "true", "own", "second_pass")

GAPS = ("information_gain", "computation_gain", "second_pass_gain", "exposure_gap")

LEAST_SPAN = 0.002
"""Of a chart's vertical axis: a thousandth of a nat, or of all codes, is not blown up to a slope."""

KINDS = ("ce", "accuracy", "bound")
"""Of a context's quantities, in the order of the table's columns."""


@dataclass(frozen=True)
class Group:
    """The lines of one row of the experiment: a name and a cell for each column."""

    label: str
    lines: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Grid:
    """A table of means and intervals, its lines grouped by row."""

    caption: str
    heads: tuple[tuple[str, int], ...]
    """Headings over several columns each, with how many; empty if there are none."""
    columns: tuple[str, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class AnalysisView:
    """One kind of analysis on a page."""

    anchor: str
    title: str
    note: str
    legend: tuple[tuple[int, str], ...]
    """Index and label of the rows that the charts have lines of."""
    charts: tuple[Chart, ...]
    further_charts: tuple[Chart, ...]
    """Folded."""
    grids: tuple[Grid, ...]
    folded: bool
    """Whether the grids are, as where charts say the same."""


def analysis_views(run: TableRun, measured: Cells) -> list[AnalysisView]:
    """What the experiment's analyses found so far, in its order; none before any number."""
    views = {"steps": _steps_view, "contexts": _contexts_view}
    found = (views[name](run, measured) for name in run.experiment.analyses)
    return [view for view in found if view is not None]


def _steps_view(run: TableRun, measured: Cells) -> AnalysisView | None:
    steps = sorted(
        {step for name in measured.metrics() if is_of_step(name) for step in measured.steps(name, "")}
    )
    if not steps:
        return None
    masked = tuple(f"masked_{name}" for name in STEP_QUANTITIES)
    charts = tuple(_step_chart(run, measured, name, steps) for name in STEP_QUANTITIES)
    return AnalysisView(
        anchor="steps",
        title="Step by step",
        note=(
            f"One decoding in {steps[-1]} steps, and what each step predicts. The divergence from the truth "
            "is the cross-entropy of the teacher's codes; that from the final prediction ends at zero by "
            "definition. All positions count alike, also those that are visible already, which are predicted "
            "anew: agreement need not be complete at the last step."
        ),
        legend=_legend(run, charts),
        charts=charts,
        further_charts=tuple(_step_chart(run, measured, name, steps) for name in masked),
        grids=(_step_grid(run, measured, (*STEP_QUANTITIES, *masked), steps),),
        folded=True,
    )


def _contexts_view(run: TableRun, measured: Cells) -> AnalysisView | None:
    found = filter(None, map(visible_percent, measured.metrics()))
    percents = sorted({percent for _, percent in found})
    if not percents:
        return None
    drawn = (_gap_chart(run, measured, name, percents) for name in GAPS)
    charts = tuple(chart for chart in drawn if chart is not None)
    return AnalysisView(
        anchor="contexts",
        title="Context by context",
        note=(
            "All contexts of a visible share are measured at the same masked positions. The first-step "
            "prediction comes from the tokens alone, so it holds no information about the true codes beyond "
            "them: what own codes gain is computing, and a second pass over the whole prediction and a "
            "deeper decoder are its controls. The bound is the accuracy that the model's own distribution "
            "promises: C.2's, if that distribution were the true one; above the accuracy, the decoder is too "
            "sure."
        ),
        legend=_legend(run, charts),
        charts=charts,
        further_charts=(),
        grids=(_context_grid(run, measured, percents), _gap_grid(run, measured, percents)),
        folded=False,
    )


def _legend(run: TableRun, charts: Sequence[Chart]) -> tuple[tuple[int, str], ...]:
    shown = {series.index for chart in charts for series in chart.panel.series}
    return tuple(
        (index, row.label) for index, row in enumerate(run.experiment.trained_rows) if index in shown
    )


def _step_chart(run: TableRun, measured: Cells, quantity: str, steps: Sequence[int]) -> Chart:
    def values(row: str, step: float) -> dict[int, float]:
        return measured.values(row, int(step), of_step(quantity), "")

    name = quantity.removeprefix("masked_")
    info = metric_info(of_step(name))
    where = "positions still masked" if quantity != name else "all positions"
    panel, words = _panel(run, values, steps, "decoding step")
    return Chart(info.heading, where, f"{info.label}, {where}, by decoding step. {words}", panel)


def _gap_chart(run: TableRun, measured: Cells, name: str, percents: Sequence[float]) -> Chart | None:
    def values(row: str, percent: float) -> dict[int, float]:
        return measured.values(row, None, f"{name}_visible_{percent:g}", "")

    info = metric_info(name)
    panel, words = _panel(run, values, percents, "visible codes, %")
    if not panel.series:
        return None
    return Chart(info.heading, info.meaning, f"{info.label} by visible share. {words}", panel)


def _panel(
    run: TableRun,
    values: Callable[[str, float], dict[int, float]],
    places: Sequence[float],
    x_label: str,
) -> tuple[Panel, str]:
    """A line for each row with its interval, and where each begins and ends in words."""
    series, words = [], []
    for index, row in enumerate(run.experiment.trained_rows):
        found = {place: estimate(list(at.values())) for place in places if (at := values(row.name, place))}
        finite = {place: item for place, item in found.items() if math.isfinite(item.mean)}
        if not finite:
            continue
        means = tuple(item.mean for item in finite.values())
        bands = tuple(item.half_width for item in finite.values())
        series.append(Series(index, tuple(map(float, finite)), means, bands))
        decimals = decimals_for(finite.values())
        words.append(
            f"{row.label}: {fixed(means[0], decimals)} at {min(finite):g}, "
            f"{fixed(means[-1], decimals)} at {max(finite):g}"
        )
    ticks = tuple(round(place) for place in places)
    panel = Panel(tuple(series), x_label=x_label, even_ticks=ticks, least_span=LEAST_SPAN)
    return panel, "; ".join(words) + "."


def _step_grid(run: TableRun, measured: Cells, quantities: Sequence[str], steps: Sequence[int]) -> Grid:
    groups = []
    for row in run.experiment.trained_rows:
        lines = []
        for quantity in quantities:
            cells = [measured.values(row.name, step, of_step(quantity), "") for step in steps]
            name = quantity.removeprefix("masked_")
            masked = ", still masked" if quantity != name else ""
            lines.append((metric_info(of_step(name)).label + masked, _texts(cells)))
        groups.append(Group(row.label, tuple(lines)))
    return Grid(
        "Every quantity by decoding step.", (), tuple(f"step {step}" for step in steps), _shown(groups)
    )


def _context_grid(run: TableRun, measured: Cells, percents: Sequence[float]) -> Grid:
    """Cross-entropy, accuracy and bound; a column has one number of decimals, so that lines compare."""
    columns = [(kind, percent) for kind in KINDS for percent in percents]
    table: dict[tuple[str, str], list[Estimate | None]] = {}
    for row in run.experiment.trained_rows:
        for context in CONTEXTS:
            cells = [
                measured.values(row.name, None, f"{kind}_{context}_visible_{percent:g}", "")
                for kind, percent in columns
            ]
            table[row.name, context] = [estimate(list(cell.values())) if cell else None for cell in cells]
    decimals = [
        decimals_for(line[number] for line in table.values() if line[number])  # type: ignore[misc]
        for number in range(len(columns))
    ]
    groups = [
        Group(
            row.label,
            tuple((words_of(context), _line(table[row.name, context], decimals)) for context in CONTEXTS),
        )
        for row in run.experiment.trained_rows
    ]
    heads = tuple(
        (title, len(percents))
        for title in ("Cross-entropy, nats a code ↓", "Top-1 accuracy ↑", "Bound of the accuracy")
    )
    return Grid(
        "By context, and by the share of the codes that is visible.",
        heads,
        tuple(f"{percent:g} %" for _, percent in columns),
        _shown(groups),
    )


def _gap_grid(run: TableRun, measured: Cells, percents: Sequence[float]) -> Grid:
    groups = []
    for row in run.experiment.trained_rows:
        lines = []
        for name in GAPS:
            cells = [
                measured.values(row.name, None, f"{name}_visible_{percent:g}", "") for percent in percents
            ]
            info = metric_info(name)
            lines.append((f"{info.label.removesuffix(' (nats)')}: {info.meaning}", _texts(cells)))
        groups.append(Group(row.label, tuple(lines)))
    columns = tuple(f"{percent:g} %" for percent in percents)
    return Grid("Differences of cross-entropies in nats, paired by seed.", (), columns, _shown(groups))


def _texts(cells: Sequence[dict[int, float]]) -> tuple[str, ...]:
    estimates = [estimate(list(cell.values())) if cell else None for cell in cells]
    decimals = decimals_for(item for item in estimates if item)
    return _line(estimates, [decimals] * len(cells))


def _line(estimates: Sequence[Estimate | None], decimals: Sequence[int]) -> tuple[str, ...]:
    return tuple(
        plus_minus(item, places) if item else "" for item, places in zip(estimates, decimals, strict=True)
    )


def _shown(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Without lines, and then without groups, that have no number."""
    kept = (Group(group.label, tuple(line for line in group.lines if any(line[1]))) for group in groups)
    return tuple(group for group in kept if group.lines)
