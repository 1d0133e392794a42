"""Hours of training by column of Table 5, and what each stage costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from experiments.paper.table4 import EXPERIMENT
from experiments.records.costs import GPU_FLOPS, stage_costs
from experiments.records.frame import select

if TYPE_CHECKING:
    from stored_runs import StoreMaker

WITH_COSTS = EXPERIMENT.model_copy(update={"costs": True})
SIZE = {"flops_per_image": 1e9, "paper_images": 36e6, "paper_flops_per_image": GPU_FLOPS / 1e4}


def test_hours_are_those_of_the_finished_stages(maker: StoreMaker) -> None:
    run = maker.run(WITH_COSTS, seeds=(0,), progress="partial")
    hours = select(run.frame, row="ratio-0.5", subject="training")
    assert list(hours["metric"]) == ["hours_stages_1_2", "hours_total"], "no stage 3 in this table"
    assert list(hours["value"]) == [pytest.approx((88 + 402) / 3600)] * 2
    assert list(hours["n_images"]) == [2500 * 64] * 2
    assert select(run.frame, row="ratio-0.8", subject="training").empty, "one stage is not finished"
    assert select(maker.run(seeds=(0,)).frame, subject="training").empty, "not asked for"


def test_a_projection_is_operations_over_rate(maker: StoreMaker) -> None:
    run = maker.run(WITH_COSTS, seeds=(0, 1), costs={"ratio-1.0": {"alignment": SIZE}})
    costs = stage_costs(run)
    assert list(costs["seed"]) == [0, 1]
    assert list(costs["seconds"]) == [408.0, 409.0]
    first = costs.iloc[0]
    rate = 2000 * 64 / 408
    assert first["images_per_second"] == pytest.approx(rate)
    assert first["flops_per_second"] == pytest.approx(1e9 * rate)
    assert first["paper_gpu_hours"] == pytest.approx(1.0)
    assert first["paper_hours_here"] == pytest.approx(GPU_FLOPS / (1e9 * rate))
    assert stage_costs(maker.run(WITH_COSTS, progress="waiting")).empty
