"""From a store to records: how rows stand, whose numbers are whose, and why something waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.artifacts import Artifact
from experiments.executors import ledger
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.planning.requests import Request
from experiments.profiles import PROFILES
from experiments.records.collect import table_run, table_runs
from experiments.records.results import ArtifactState, RowRun, TableRun
from experiments.store import Store, write_json

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.prepare()
    return store


@pytest.fixture
def planned() -> Plan:
    return plan(table4.EXPERIMENT, PROFILES["smoke"], (0, 1), {}, DATA)


def now(store: Store, planned: Plan) -> TableRun:
    return table_run(store, Request(planned, "run table4", "images", "2026-01-01T00:00:00+00:00"))


def measured(subject: str, value: float, steps: int | None = 8) -> dict[str, Any]:
    row = {"steps": steps, "temperature": 0.0, "metric": "rfid", "extractor": "classifier"}
    return row | {"subject": subject, "value": value, "n_images": 100}


def finish(store: Store, artifact: Artifact, **result: Any) -> None:
    for each in artifact.with_inputs():
        if not store.is_done(each):
            store.open_work(each)
            store.commit(each, (result if each == artifact else {}) | {"provenance": {"seconds": 7.0}})


def state(run: TableRun, artifact: Artifact) -> ArtifactState:
    return next(each for each in run.artifacts if each.key == artifact.key)


def row_of(run: TableRun, row: str, seed: int) -> RowRun:
    return next(each for each in run.rows if (each.row, each.seed) == (row, seed))


def test_an_empty_store_waits_for_everything(store: Store, planned: Plan) -> None:
    run = now(store, planned)
    assert {each.status for each in run.artifacts} == {"waiting"}
    assert [(each.row, each.seed, each.status) for each in run.rows] == [
        (row.row, row.seed, "waiting") for row in planned.rows
    ]
    assert (run.complete, run.references, run.seeds) == (False, (), (0, 1))


def test_numbers_are_those_of_the_rows_subject_and_references_of_the_teacher(
    store: Store, planned: Plan
) -> None:
    assert planned.reference is not None
    finish(store, planned.reference, rows=[measured("teacher", 0.5, None), measured("real", 0.1, None)])
    first = planned.rows[0]
    rows = [measured("tokenizer", 2.0), measured("real", 9.0)]
    finish(store, first.evaluation, rows=rows, protocol={"fingerprint": "f"})
    run = now(store, planned)
    found = row_of(run, first.row, 0)
    (number,) = found.results
    assert (found.status, found.protocol) == ("done", {"fingerprint": "f"})
    assert (number.row, number.seed, number.value, number.steps) == (first.row, 0, 2.0, 8)
    assert (number.table, number.profile, number.artifact) == ("table4", "smoke", first.evaluation.key)
    assert [(each.row, each.value) for each in run.references] == [("teacher", 0.5), ("real", 0.1)]
    assert row_of(run, first.row, 1).status == "waiting"
    assert state(run, first.evaluation).seconds == 7.0
    assert not run.complete


def test_a_run_is_complete_when_all_is_there(store: Store, planned: Plan) -> None:
    for artifact in planned.artifacts:
        finish(store, artifact, rows=[])
    run = now(store, planned)
    assert run.complete
    assert {row.status for row in run.rows} == {"done"}


def test_what_is_made_now_has_its_progress(store: Store, planned: Plan) -> None:
    stage = planned.rows[0].training[-1]
    with store.claim(stage):
        folder = store.open_work(stage)
        run = now(store, planned)
        assert (state(run, stage).status, state(run, stage).progress) == ("running", None)
        write_json(folder / "progress.json", {"done": 3, "total": 12, "remaining_seconds": 9.0})
        found = state(now(store, planned), stage)
        assert (found.progress, found.remaining_seconds, found.folder) == (0.25, 9.0, folder)
        assert row_of(now(store, planned), planned.rows[0].row, 0).status == "running"
    found = state(now(store, planned), stage)
    assert (found.status, found.progress, found.remaining_seconds) == ("waiting", None, None)


def test_a_failure_is_told_by_all_that_it_blocks(store: Store, planned: Plan) -> None:
    stage = planned.rows[0].training[0]
    store.record_failure(stage, {"reason": "no luck", "traceback": ""})
    run = now(store, planned)
    assert (state(run, stage).status, state(run, stage).error) == ("failed", "no luck")
    blocked = f"blocked by {stage.label} ({stage.name})"
    for later in (planned.rows[0].training[1], planned.rows[0].evaluation):
        assert (state(run, later).status, state(run, later).note) == ("waiting", blocked)
    assert {row.status for row in run.rows if row.seed == 0} == {"failed"}
    assert {row.status for row in run.rows if row.seed == 1} == {"waiting"}


def test_what_waits_says_so_by_its_job(store: Store, planned: Plan) -> None:
    stage = planned.rows[0].training[0]
    job = {"job": "12", "submission": "s", "log": "l", "memory": None, "minutes": 5, "submitted": "now"}
    ledger.record(store, stage, ledger.JobRecord(**job, reason="Priority"))
    assert state(now(store, planned), stage).note == "job 12: pending (Priority)"


def test_the_latest_request_comes_first(store: Store, planned: Plan) -> None:
    for name, when in (("table4", "2026-01-02"), ("older", "2026-01-01")):
        renamed = table4.EXPERIMENT.model_copy(update={"name": name})
        request = plan(renamed, PROFILES["smoke"], (0,), {}, DATA)
        Request(request, "a command", "images", f"{when}T00:00:00+00:00").save(store)
    assert [run.experiment.name for run in table_runs(store)] == ["table4", "older"]


def test_a_damaged_result_is_a_failure_and_hides_nothing_else(store: Store, planned: Plan) -> None:
    broken, fine = (row.evaluation for row in planned.rows[:2])
    for evaluation in (broken, fine):
        finish(store, evaluation, rows=[measured("tokenizer", 2.0)], protocol={})
    (store.folder(broken) / "result.json").write_text('{"rows": [')
    run = now(store, planned)
    assert state(run, broken).status == "failed"
    assert f"{broken.name}/result.json: damaged" in (state(run, broken).error or "")
    assert [row.status for row in run.rows[:2]] == ["failed", "done"]
    assert [len(row.results) for row in run.rows[:2]] == [0, 1]
