"""What training says of itself: where its curves end, and what it cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.planning.plan import Plan, plan
from experiments.planning.requests import new_request
from experiments.profiles import PROFILES
from experiments.records.collect import table_run
from experiments.records.measured import curve_ends, training_hours
from experiments.registry import discover
from experiments.store import METRICS, Store

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}
SPECS = discover(("experiments.paper",))


def planned(name: str) -> Plan:
    return plan(SPECS[name], PROFILES["smoke"], (0,), {}, DATA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which every stage of every table is finished, after 1, 2, 3 ... seconds."""
    store = Store(tmp_path)
    store.prepare()
    stages = {stage for name in SPECS for row in planned(name).rows for stage in row.training}
    for number, stage in enumerate(sorted(stages, key=lambda stage: stage.name), 1):
        folder = store.open_work(stage)
        lines = [
            {"step": step, "loss": 10.0 - step, "reconstruction_loss": step}
            for step in range(1, stage.steps + 1)
        ]
        (folder / METRICS).write_text("\n".join(map(json.dumps, lines)))
        result = {"seconds": float(number), "images_per_second": 32.0}
        store.commit(stage, result | {"provenance": {"seconds": float(number), "peak_rss_bytes": 10**9}})
    return store


def test_the_end_of_a_curve_is_the_mean_of_its_last_tenth(store: Store) -> None:
    made = planned("figure4b")
    row = next(row for row in made.rows if row.row == "sfvr-warm-up")
    (found,) = curve_ends(store, made, row)
    assert found.metric == "final_reconstruction_loss"
    assert found.artifact.stage == "alignment"
    assert found.value == found.artifact.steps, "of these few steps the last one is the last tenth"
    assert found.n_images == found.artifact.config["training"]["batch_size"]


def test_an_unfinished_stage_has_no_end(tmp_path: Path) -> None:
    made = planned("figure4b")
    assert not list(curve_ends(Store(tmp_path), made, made.rows[0]))


def test_hours_are_those_of_the_stages(store: Store) -> None:
    made = planned("table5")
    row = made.rows[0]
    seconds = [(store.result(stage) or {})["seconds"] for stage in row.training]
    hours = {found.metric: found.value for found in training_hours(store, row)}
    assert hours["hours_stages_1_2"] == pytest.approx(sum(seconds[:2]) / 3600)
    assert hours["hours_stage_3"] == pytest.approx(seconds[2] / 3600)
    assert hours["hours_total"] == pytest.approx(sum(seconds) / 3600)


def test_hours_of_a_column_need_all_of_its_stages(store: Store) -> None:
    row = planned("table5").rows[0]
    longer = replace(row.training[1], config={**row.training[1].config, "steps": 10**6})
    partly = replace(row, training=(row.training[0], longer, row.training[2]))
    assert {found.metric for found in training_hours(store, partly)} == {"hours_stage_3"}


def test_table_5_has_costs_and_a_projection(store: Store) -> None:
    run = table_run(store, new_request(planned("table5"), ["run", "table5"], "images"))
    assert [(cost.row, cost.stage) for cost in run.costs] == [
        (row, stage) for row in ("sftok-b", "sftok-l") for stage in ("warm-up", "alignment", "fine-tuning")
    ]
    small, large = run.costs[1], run.costs[4]
    assert large.paper_gpu_hours > small.paper_gpu_hours > 50
    assert small.paper_hours_here > small.seconds / 3600
    assert {result.metric for result in run.rows[0].results} == {
        "hours_stages_1_2", "hours_stage_3", "hours_total",
    }  # fmt: skip


def test_images_are_those_of_all_batches_of_an_update(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    twice = {"stage3.training.gradient_accumulation": 2}
    made = plan(SPECS["table5"], PROFILES["smoke"], (0,), twice, DATA)
    for stage in made.rows[0].training:
        store.open_work(stage)
        store.commit(stage, {"seconds": 1.0, "images_per_second": 1.0, "provenance": {"seconds": 1.0}})
    run = table_run(store, new_request(made, ["run", "table5"], "images"))
    fine_tuning = next(cost for cost in run.costs if cost.stage == "fine-tuning")
    recipe = made.recipe_of(made.rows[0].row)
    assert fine_tuning.images == 2 * recipe.stage3.steps * recipe.stage3.training.batch_size
    # Table 6: 1000k updates of two batches of 8 on each of 8 GPUs.
    assert fine_tuning.paper_images == 1_000_000 * 2 * 64


def test_other_tables_have_neither(store: Store) -> None:
    run = table_run(store, new_request(planned("table4"), ["run", "table4"], "images"))
    assert not run.costs
    assert not run.settings
    assert not run.rows[0].results


def test_a_table_without_rows_to_run_is_complete_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare()
    made = planned("table6")
    assert made.artifacts == ()
    run = table_run(store, new_request(made, ["run", "table6"], "images"))
    assert run.complete
    assert len(run.settings) == len(SPECS["table6"].settings)


def test_a_row_says_what_it_is_here(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = table_run(store, new_request(planned("table1"), ["run", "table1"], "images"))
    facts = {row.row: row.facts for row in run.rows}
    assert facts["maskgit"] == {"Token length": "49", "#Code": "16"}
    assert facts["vqgan"] == {"Token length": "49", "#Code": "32"}
    assert facts["sftok-b"] == {"Token length": "4", "#Code": "16"}
    assert facts["one-d-piece-b-half"] == {"Token length": "2", "#Code": "16"}
