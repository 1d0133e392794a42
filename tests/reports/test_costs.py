"""The cost table: over seeds, with the projection and what it assumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from experiments.records.results import GPU_FLOPS, StageCost
from reports.costs import cost_table

if TYPE_CHECKING:
    from conftest import FakeStore


def cost(seed: int, seconds: float) -> StageCost:
    return StageCost(
        row="ratio-1.0",
        seed=seed,
        stage="alignment",
        images=1000,
        seconds=seconds,
        images_per_second=1000 / seconds,
        peak_bytes=10**9,
        flops_per_image=1e9,
        paper_images=36 * 10**6,
        paper_flops_per_image=GPU_FLOPS / 1e4,
    )


def test_a_projection_is_operations_over_rate() -> None:
    assert cost(0, 10.0).paper_gpu_hours == pytest.approx(1.0)
    assert cost(0, 10.0).flops_per_second == pytest.approx(1e11)
    assert cost(0, 10.0).paper_hours_here == pytest.approx(GPU_FLOPS / 1e11)


def test_a_line_is_the_mean_over_seeds(fake_store: FakeStore) -> None:
    run = fake_store.run().model_copy(update={"costs": (cost(0, 10.0), cost(1, 20.0))})
    table = cost_table(run)
    assert table is not None
    (line,) = table.lines
    assert (line.label, line.stage, line.seeds) == ("SFTok-B, ratio 1.0", "alignment", 2)
    assert (line.images, line.speed, line.memory, line.gpu_hours) == ("1,000", "75", "1.0 GB", "1")
    assert line.time.startswith("15 s")
    assert "33 TFLOP/s" in table.assumption


def test_without_costs_there_is_no_table(fake_store: FakeStore) -> None:
    assert cost_table(fake_store.run()) is None
