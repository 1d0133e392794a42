"""What the charts of a page show: metrics over decoding steps, and the loss over training steps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.records.quantities import is_quantity
from experiments.records.results import ArtifactState, TableRun
from experiments.records.verdicts import Cells, estimate
from experiments.spec import Curve
from reports.figures import Panel, Reference, Series
from reports.metrics import MetricInfo, display_order, metric_info
from reports.numbers import decimals_for, fixed
from reports.tables import row_label

PIXEL_STAGES = ("fine-tuning", "single-step-fine-tuning")
"""Stages whose loss is one of pixels, on another scale than the cross-entropies before them."""

HEADLINE_METRICS = ("rfid", "gfid", "is")
"""Metrics whose curves are always in sight; the others are folded."""

MAX_POINTS = 120
"""Points of a smoothed loss curve: each is the mean of its bin of steps."""

MAX_LINES = 20_000
"""Lines of a `metrics.jsonl` that are parsed; of a longer file every k-th."""


@dataclass(frozen=True)
class Chart:
    """A panel with its words."""

    title: str
    subtitle: str
    alternative: str
    """What the picture shows, for those who cannot see it."""
    panel: Panel


def metric_charts(run: TableRun, measured: Cells) -> tuple[list[Chart], list[Chart]]:
    """Charts over T: the headline metrics, and all others that were measured at more than one T."""
    headline: list[Chart] = []
    further: list[Chart] = []
    for name in display_order([name for name in measured.metrics() if not is_quantity(name)]):
        for space in measured.feature_spaces(name, run.primary_extractor):
            steps = measured.steps(name, space)
            if len(steps) > 1:
                chart = _metric_chart(run, measured, metric_info(name), space, steps)
                (headline if name in HEADLINE_METRICS else further).append(chart)
    return headline, further


def loss_charts(run: TableRun) -> list[Chart]:
    """The training loss of every row and seed, whole and its second half closer; none before any step.

    What stage 3 minimises has a chart of its own.
    """
    pixels, pixel_words = _series(run, "loss", lambda stage: stage.stage in PIXEL_STAGES)
    later = []
    if pixels:
        said = f"Loss of stage 3 over its steps. Last value of {'; '.join(pixel_words)}."
        later = [Chart("Stage 3", "loss on pixels", said, Panel(tuple(pixels), x_label="training step"))]
    series, words = _series(run, "loss", lambda stage: stage.stage not in (*PIXEL_STAGES, "teacher"))
    if not series:
        return later
    half = max(curve.x[-1] for curve in series) / 2
    closer = tuple(part for curve in series if (part := _from(curve, half)))
    said = f"Training loss over steps. Last value of {'; '.join(words)}."
    whole = Panel(tuple(series), x_label="training step")
    return [
        Chart("Training loss", "from the first step", said, whole),
        Chart(
            "Training loss", "second half, closer", said, Panel(closer, x_label="training step", x_from=half)
        ),
        *later,
    ]


def curve_charts(run: TableRun) -> list[Chart]:
    """The training curves that the experiment is about; none before any step."""
    charts = (_curve_chart(run, curve) for curve in run.experiment.curves)
    return [chart for chart in charts if chart is not None]


def _curve_chart(run: TableRun, curve: Curve) -> Chart | None:
    series, words = _series(run, curve.quantity, lambda stage: stage.stage in curve.stages)
    if not series:
        return None
    said = f"{curve.title} over training steps. Last value of {'; '.join(words)}."
    subtitle = " and ".join(curve.stages)
    return Chart(curve.title, subtitle, said, Panel(tuple(series), x_label="training step"))


def _series(
    run: TableRun, quantity: str, wanted: Callable[[ArtifactState], bool]
) -> tuple[list[Series], list[str]]:
    """A curve for each row and seed, of the stages that are wanted, and its last value in words."""
    series, words = [], []
    for index, row in enumerate(run.experiment.trained_rows):
        for item in run.rows:
            if item.row != row.name:
                continue
            if curve := loss_curve(tuple(filter(wanted, item.training)), index, quantity):
                series.append(curve)
                words.append(f"{row.label}, seed {item.seed}: {curve.y[-1]:.3g}")
    return series, words


def loss_curve(stages: tuple[ArtifactState, ...], index: int, quantity: str = "loss") -> Series | None:
    """The smoothed loss of the stages of one run, each continuing where the one before ended."""
    x: list[float] = []
    y: list[float] = []
    ends: list[float] = []
    offset = 0.0
    for stage in stages:
        points = read_losses(stage.folder / "metrics.jsonl", quantity) if stage.folder else []
        if not points:
            continue
        points = [(step + offset, loss) for step, loss in points]
        smooth = smoothed(points)
        x += [step for step, _ in smooth]
        y += [loss for _, loss in smooth]
        offset = points[-1][0]
        if stage.status == "done" and x:
            ends.append(x[-1])
    return Series(index, tuple(x), tuple(y), stage_ends=tuple(ends)) if x else None


def read_losses(path: Path, quantity: str = "loss") -> list[tuple[float, float]]:
    """`(step, value)` of every line that has the quantity, in order of step.

    The file may be growing: a line that does not parse (the torn last one) is left out.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    points: dict[float, float] = {}
    for line in lines[:: 1 + len(lines) // MAX_LINES]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        step, loss = (record.get("step"), record.get(quantity)) if isinstance(record, dict) else (None, None)
        if isinstance(step, int | float) and isinstance(loss, int | float):
            # A resumed run logs the steps after its checkpoint again: the last word counts.
            points[float(step)] = float(loss)
    return sorted(points.items())


def smoothed(points: list[tuple[float, float]], max_points: int = MAX_POINTS) -> list[tuple[float, float]]:
    """Means of at most `max_points` bins of consecutive points; what is not finite is left out."""
    finite = [point for point in points if math.isfinite(point[1])]
    size = math.ceil(len(finite) / max_points)
    bins = [finite[start : start + size] for start in range(0, len(finite), size or 1)]
    return [
        (math.fsum(step for step, _ in group) / len(group), math.fsum(loss for _, loss in group) / len(group))
        for group in bins
    ]


def _from(curve: Series, start: float) -> Series | None:
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if x >= start]
    if not kept:
        return None
    x, y = zip(*kept, strict=True)
    return Series(curve.index, x, y, stage_ends=tuple(end for end in curve.stage_ends if end >= start))


def _metric_chart(run: TableRun, measured: Cells, metric: MetricInfo, space: str, steps: list[int]) -> Chart:
    series, words = [], []
    for index, row in enumerate(run.experiment.trained_rows):
        by_steps = {step: measured.values(row.name, step, metric.name, space) for step in steps}
        estimates = {step: estimate(list(values.values())) for step, values in by_steps.items() if values}
        finite = {step: item for step, item in estimates.items() if math.isfinite(item.mean)}
        if finite:
            series.append(
                Series(
                    index,
                    x=tuple(map(float, finite)),
                    y=tuple(item.mean for item in finite.values()),
                    band=tuple(item.half_width for item in finite.values()),
                )
            )
            decimals = decimals_for(finite.values())
            ends = (min(finite), max(finite))
            said = ", ".join(f"{fixed(finite[step].mean, decimals)} at T={step}" for step in ends)
            words.append(f"{row.label}: {said}")
    references = []
    for name in ("teacher", "real"):
        if values := measured.values(name, None, metric.name, space):
            value = estimate(list(values.values())).mean
            if math.isfinite(value):
                references.append(Reference(name, value))
                words.append(f"{row_label(run, name)}: {value:.3g}")
    return Chart(
        title=metric.heading,
        subtitle=space,
        alternative=f"{metric.label} {space} over decoding steps. " + "; ".join(words) + ".",
        panel=Panel(tuple(series), tuple(references), "decoding steps T", tuple(steps)),
    )
