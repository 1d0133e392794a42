"""The benchmark of a GPU runs on the CPU at the smallest sizes, so that it cannot rot without a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

import gpu
from gpu_bench import Bench, Counted, matrix_rates


@pytest.fixture
def bench() -> Bench:
    return Bench(torch.device("cpu"), tiny=True, rates=dict.fromkeys(("bf16", "fp16", "tf32", "fp32"), 1e12))


@pytest.mark.parametrize("item", ["stage-2-b", "decoding", "stage-3", "input"])
def test_an_item_has_a_speed_beside_its_floor(bench: Bench, item: str) -> None:
    rows = list(gpu.measured(item, bench, late=False))
    assert rows
    for row in rows:
        assert row["images_per_second"] > 0
        assert item == "input" or 0 < row["floor_milliseconds"] < row["milliseconds"]
        assert row["item"] in gpu.shown(row)


def test_operations_are_counted_in_the_format_that_they_run_in(bench: Bench) -> None:
    weight = torch.ones(3, 4, requires_grad=True)
    with Counted() as counted:
        torch.ones(2, 3) @ weight
        with torch.autocast("cpu", torch.bfloat16):
            (torch.ones(5, 3) @ weight).sum().backward()
    assert counted.operations == {"fp32": 2 * 2 * 3 * 4, "bf16": 2 * (2 * 5 * 3 * 4)}
    bench.rates |= {"fp32": 48.0, "bf16": 120.0}
    assert bench.row("a product", "", 1, 6.0, counted.operations)["share_of_floor"] == 0.5


def test_every_format_has_a_rate_and_the_setting_of_tf32_stays(bench: Bench) -> None:
    bench.rates.clear()
    before = torch.backends.cuda.matmul.allow_tf32
    assert (
        [row["variant"] for row in matrix_rates(bench)]
        == list(bench.rates)
        == ["bf16", "fp16", "tf32", "fp32"]
    )
    assert torch.backends.cuda.matmul.allow_tf32 == before


def test_an_item_that_fails_or_comes_too_late_is_a_row_that_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(bench: Bench) -> list[dict]:
        raise RuntimeError("no kernel\nand more")

    monkeypatch.setitem(gpu.ITEMS, "decoding", fail)
    assert [row["note"] for row in gpu.measured("decoding", bench, late=False)] == ["RuntimeError: no kernel"]
    assert [row["note"] for row in gpu.measured("decoding", bench, late=True)] == ["left out: no time"]


def test_the_cost_of_a_stage_is_that_of_its_slowest_run() -> None:
    rows = [{"stage": "alignment", "milliseconds": time} for time in (20, 50, 30)]
    assert gpu.seconds_per_step([*rows, {"item": "decoding"}]) == {"alignment": 0.05}
