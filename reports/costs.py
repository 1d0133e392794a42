"""What the training cost, as a table: by row and stage, over the seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from experiments.records.results import GPU_FLOPS, StageCost, TableRun
from reports.numbers import byte_size, duration, rough_duration


@dataclass(frozen=True)
class CostLine:
    """One stage of one row."""

    label: str
    stage: str
    seeds: int
    images: str
    time: str
    speed: str
    memory: str
    rate: str
    gpu_hours: str
    here: str


@dataclass(frozen=True)
class CostTable:
    """All of them, and what the projection rests on."""

    lines: tuple[CostLine, ...]
    assumption: str


def cost_table(run: TableRun) -> CostTable | None:
    """The costs of a run; None if there are none yet."""
    grouped: dict[tuple[str, str], list[StageCost]] = {}
    for cost in run.costs:
        grouped.setdefault((cost.row, cost.stage), []).append(cost)
    if not grouped:
        return None
    lines = tuple(_line(run.experiment.row(row).label, stage, of) for (row, stage), of in grouped.items())
    return CostTable(
        lines,
        f"Projection: counted operations of a training step, times images, at {GPU_FLOPS / 1e12:g} TFLOP/s "
        "a GPU, a fifth of an RTX 4090's best in fp16, and at this machine's own measured rate.",
    )


def _line(label: str, stage: str, costs: list[StageCost]) -> CostLine:
    seconds = _mean([cost.seconds for cost in costs])
    peaks = [cost.peak_bytes for cost in costs if cost.peak_bytes]
    speed = _mean([cost.images_per_second for cost in costs])
    return CostLine(
        label=label,
        stage=stage,
        seeds=len(costs),
        images=f"{costs[0].images:,}",
        time=duration(seconds),
        speed=f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}",
        memory=byte_size(max(peaks)) if peaks else "",
        rate=f"{_mean([cost.flops_per_second for cost in costs]) / 1e9:.3g}",
        gpu_hours=f"{costs[0].paper_gpu_hours:,.0f}",
        here=rough_duration(3600 * _mean([cost.paper_hours_here for cost in costs])),
    )


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
