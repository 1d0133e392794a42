"""Numbers of a run that no evaluation makes: where training curves end, and what training cost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from experiments.artifacts import Artifact
from experiments.planning.plan import Plan
from experiments.planning.rows import PlannedRow
from experiments.recipe import Recipe
from experiments.records.results import StageCost
from experiments.records.training_curve import logged
from experiments.store import Store

LAST_SHARE = 0.1
"""The part of a curve that its end is the mean of."""

COSTS = {
    "hours_stages_1_2": ("warm-up", "alignment"),
    "hours_stage_3": ("fine-tuning", "single-step-fine-tuning"),
    "hours_total": ("warm-up", "alignment", "fine-tuning", "single-step-fine-tuning"),
}
"""Hours of which stages, by metric (the columns of Table 5)."""


@dataclass(frozen=True)
class Measured:
    """A number, and the artifact that it comes from."""

    artifact: Artifact
    metric: str
    value: float
    n_images: int


def curve_ends(store: Store, plan: Plan, row: PlannedRow) -> Iterator[Measured]:
    """Where the experiment's training curves end, of the row's finished stages."""
    for curve in plan.experiment.curves:
        stages = [stage for stage in row.training if stage.stage in curve.stages]
        if not stages or not store.is_done(stages[-1]):
            continue
        log = logged(store.folder(stages[-1]), curve.quantity)
        last = [value for step, value in log if step > (1 - LAST_SHARE) * stages[-1].steps]
        if last:
            images = len(last) * _images(stages[-1]) // stages[-1].steps
            yield Measured(stages[-1], f"final_{curve.quantity}", math.fsum(last) / len(last), images)


def training_hours(store: Store, row: PlannedRow) -> Iterator[Measured]:
    """Hours of the row's stages, where all of a column of Table 5 are finished."""
    for metric, names in COSTS.items():
        stages = [stage for stage in row.training if stage.stage in names]
        results = [store.readable_result(stage) for stage in stages]
        if stages and all(results):
            seconds = math.fsum(result["seconds"] for result in results if result)
            yield Measured(stages[-1], metric, seconds / 3600, sum(map(_images, stages)))


def stage_costs(store: Store, row: PlannedRow, recipe: Recipe, paper: Recipe) -> Iterator[StageCost]:
    """What each finished stage of a row took; `paper` is the same row at the paper's size."""
    # Here, because it loads timm, which takes seconds, and most tables do not ask for costs.
    from experiments.sizes import training_flops

    steps = {
        "warm-up": (paper.warm_up_steps, paper.stage1.training),
        "alignment": (paper.alignment_steps, paper.stage2.training),
        "fine-tuning": (paper.stage3.steps, paper.stage3.training),
        "single-step-fine-tuning": (paper.stage3.steps, paper.stage3.training),
    }
    for stage in row.training:
        result = store.readable_result(stage)
        if stage.stage not in steps or result is None:
            continue
        paper_steps, training = steps[stage.stage]
        yield StageCost(
            row=row.row,
            seed=row.seed,
            stage=stage.stage,
            images=_images(stage),
            seconds=result["seconds"],
            images_per_second=result["images_per_second"],
            peak_bytes=result["provenance"].get("peak_rss_bytes"),
            flops_per_image=training_flops(recipe, stage.stage),
            paper_images=paper_steps * training.batch_size * training.gradient_accumulation,
            paper_flops_per_image=training_flops(paper, stage.stage),
        )


def _images(stage: Artifact) -> int:
    training = stage.config["training"]
    return int(stage.steps * training["batch_size"] * training["gradient_accumulation"])
