"""Costs of training: the hours of Table 5, and the speed, memory and projected time of each stage."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from experiments.requests import GPU_FLOPS

if TYPE_CHECKING:
    import pandas as pd

    from experiments.records.run import ArtifactState, RowState, Run

STAGES_OF_HOURS = {
    "hours_stages_1_2": ("warm-up", "alignment"),
    "hours_stage_3": ("fine-tuning", "single-step-fine-tuning"),
    "hours_total": ("warm-up", "alignment", "fine-tuning", "single-step-fine-tuning"),
}
"""The stages of each column of Table 5."""


def training_hours(run: Run, row: RowState) -> Iterator[dict[str, Any]]:
    """The hours of a row by column of Table 5, for columns whose stages are all finished."""
    for metric, names in STAGES_OF_HOURS.items():
        stages = [stage for stage in row.training if stage.stage in names]
        seconds = [value for stage in stages if (value := _of_result(run, stage, "seconds"))]
        if stages and len(seconds) == len(stages):
            yield {
                "metric": metric,
                "value": math.fsum(seconds) / 3600,
                "n_images": sum(run.request.by_name[stage.name].images for stage in stages),
                "artifact": stages[-1].key,
            }


def stage_costs(run: Run) -> pd.DataFrame:
    """One row per finished stage of each row and seed, with a projection to the paper's size.

    Columns: row, seed, stage, images, seconds, images_per_second, peak_bytes, flops_per_second,
    paper_gpu_hours (at `GPU_FLOPS`), paper_hours_here (at the measured rate of this machine).
    """
    import pandas as pd

    lines = []
    for row in run.rows:
        sizes = run.request.costs.get(row.row, {})
        for stage in row.training:
            rate = _of_result(run, stage, "images_per_second")
            if rate is None or stage.stage not in sizes:
                continue
            size = sizes[stage.stage]
            flops = size["flops_per_image"] * rate
            projected = size["paper_images"] * size["paper_flops_per_image"]
            lines.append(
                {
                    "row": row.row,
                    "seed": row.seed,
                    "stage": stage.stage,
                    "images": run.request.by_name[stage.name].images,
                    "seconds": _of_result(run, stage, "seconds"),
                    "images_per_second": rate,
                    "peak_bytes": stage.provenance.get("peak_rss_bytes"),
                    "flops_per_second": flops,
                    "paper_gpu_hours": projected / GPU_FLOPS / 3600,
                    "paper_hours_here": projected / flops / 3600,
                }
            )
    return pd.DataFrame(lines)


def _of_result(run: Run, stage: ArtifactState, name: str) -> float | None:
    """A number from the result of a finished training; None if it is unfinished or was not trained here."""
    result = run.results.get(stage.name)
    value = (result.model_extra or {}).get(name) if result else None
    return float(value) if isinstance(value, int | float) else None
