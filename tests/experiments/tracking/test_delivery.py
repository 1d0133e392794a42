"""Finished rows reach MLflow whole, and once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from delivering import (
    EXPERIMENT,
    FINGERPRINTS,
    PROFILE,
    assert_complete,
    client_of,
    finish_row,
    make_request,
    nested,
    parents,
)
from mlflow import MlflowClient

from experiments import locks
from experiments.planning.plan import plan
from experiments.planning.requests import Request
from experiments.store import Store
from experiments.tracking import delivery, runs


def test_a_finished_row_is_delivered_whole(store: Store) -> None:
    request = make_request()
    finish_row(store, request, 1)
    assert delivery.sync(store, request) == 1

    (run,), (parent,) = nested(store), parents(store)
    row = request.plan.rows[1]
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.tags["sftok.evaluation"] == row.evaluation.key
    assert run.data.tags["sftok.key.warm-up"] == row.training[0].key
    assert run.data.tags["sftok.key.alignment"] == row.training[1].key
    assert {f"sftok.key.{kind}" for kind in ("teacher", "codes")} <= run.data.tags.keys()
    assert run.data.tags["sftok.protocol"] == "f00d"
    assert run.data.tags["sftok.commit"] == "abc+changes"
    assert run.data.tags["sftok.command"] == "python -m experiments run table0"
    assert (run.data.tags["sftok.row"], run.data.tags["sftok.seed"]) == ("high", "0")
    assert run.data.params["stage2.replacement_ratio"] == "1.0"
    assert run.data.params["tokenizer_steps"] == "30"
    assert "mean nothing" in run.info.run_name
    assert run.info.end_time - run.info.start_time == 3 * 60_000

    history = client_of(store).get_metric_history(run.info.run_id, "rfid/classifier-28")
    assert {point.step: point.value for point in history} == {1: 3.0, 8: 10.0}
    assert run.data.metrics["codebook_usage"] == 0.5
    assert len(client_of(store).get_metric_history(run.info.run_id, "alignment/loss")) == 10
    names = {file.path for file in client_of(store).list_artifacts(run.info.run_id)}
    assert names == {"result.json", "config.json", "examples.png"}
    assert list((store.root / "mlflow-artifacts").rglob("examples.png"))


def test_rows_come_as_they_finish_and_only_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    request = make_request()
    assert delivery.sync(store, request) == 0
    finish_row(store, request, 0)
    assert delivery.sync(store, request) == 1
    assert parents(store)[0].info.status == "RUNNING"
    finish_row(store, request, 1)
    assert delivery.sync(store, request) == 1
    assert parents(store)[0].info.status == "FINISHED"
    assert_complete(store, rows=2)

    def unwanted(store: Store) -> MlflowClient:
        # No AssertionError: `sync` lives with whatever the tracker raises.
        pytest.fail("nothing is new: MLflow is not needed")

    monkeypatch.setattr(runs, "connect", unwanted)
    assert delivery.sync(store, request) == 0


def test_a_failure_after_the_last_delivery_ends_the_parent(store: Store) -> None:
    request = make_request()
    finish_row(store, request, 0)
    assert delivery.sync(store, request) == 1
    broken = request.plan.rows[1].evaluation
    store.record_failure(broken, {"reason": "out of memory", "traceback": ""})
    assert delivery.sync(store, request) == 0
    assert parents(store)[0].info.status == "FAILED"
    store.clear_failure(broken)
    finish_row(store, request, 1)
    assert delivery.sync(store, request) == 1
    assert parents(store)[0].info.status == "FINISHED"
    assert_complete(store, rows=2)


def test_more_seeds_join_the_parent_and_other_overrides_do_not(store: Store) -> None:
    for request in (make_request(), make_request(seeds=(0, 1))):
        for index in range(len(request.plan.rows)):
            finish_row(store, request, index)
        assert delivery.sync(store, request) == 2
    assert_complete(store, rows=4)
    other = make_request(overrides={"tokenizer.codebook_size": 64})
    finish_row(store, other, 0)
    assert delivery.sync(store, other) == 1
    assert len(parents(store)) == 2


def test_a_value_that_is_too_long_for_mlflow_is_cut(store: Store) -> None:
    request = make_request(overrides={"data.path": "x" * 7000})
    finish_row(store, request, 0)
    assert delivery.sync(store, request) == 1
    (run,) = nested(store)
    assert run.data.params["data.path"] == "x" * runs.PARAMETER_LENGTH


def test_other_data_are_another_request() -> None:
    here = make_request()
    elsewhere = plan(EXPERIMENT, PROFILE, (0,), {}, {**FINGERPRINTS, "test": "d" * 64})
    there = Request(elsewhere, here.command, here.data, here.requested)
    assert runs.request_key(here) == runs.request_key(make_request(seeds=(0, 1)))
    assert runs.request_key(here) != runs.request_key(there)


def test_analyses_come_with_their_row(store: Store) -> None:
    spec = EXPERIMENT.model_copy(update={"analyses": ("steps",)})
    planned = plan(spec, PROFILE, (0,), {}, FINGERPRINTS)
    request = Request(planned, "command", "ten images", "2026-01-01T00:00:00+00:00")
    finish_row(store, request, 1)
    assert delivery.sync(store, request) == 0
    (analysis,) = planned.rows[1].analyses
    measured = {"temperature": 0.0, "n_images": 10, "subject": "tokenizer", "extractor": ""}
    rows = [{"metric": "step_accuracy", "steps": step, "value": step / 10, **measured} for step in (1, 2)]
    store.open_work(analysis)
    made = {"started": "2026-01-01T01:00:00+00:00", "seconds": 5.0, "commit": "abc"}
    store.commit(analysis, {"rows": rows, "provenance": made})
    assert delivery.sync(store, request) == 1

    (run,) = nested(store)
    assert run.data.tags["sftok.analysis.steps"] == analysis.key
    history = client_of(store).get_metric_history(run.info.run_id, "step_accuracy")
    assert {point.step: point.value for point in history} == {1: 0.1, 2: 0.2}
    assert f"analysis-{analysis.key}" in {
        file.path for file in client_of(store).list_artifacts(run.info.run_id)
    }


def test_another_process_at_it_is_waited_for_and_then_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request()
    finish_row(store, request, 0)
    monkeypatch.setattr(delivery, "WAIT_SECONDS", 0.1)
    with locks.lock(store.root / "locks" / "mlflow.json"):
        assert delivery.sync(store, request) == 0
    assert "another process" in caplog.text
    assert delivery.sync(store, request) == 1


@pytest.mark.slow
def test_two_processes_on_a_new_store_deliver_exactly_once(store: Store) -> None:
    request = make_request()
    for index in range(2):
        finish_row(store, request, index)
    (store.root / "mlflow.db").unlink()
    saved = request.save(store)
    script = (
        "import sys; from pathlib import Path; from experiments.tracking import delivery; "
        "from experiments.planning.requests import Request; from experiments.store import Store; "
        "print(delivery.sync(Store(Path(sys.argv[1])), Request.load(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(store.root), str(saved)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in outputs] == [b"", b""]
    assert sum(int(delivered) for delivered, _ in outputs) == 2
    assert_complete(store, rows=2)
    assert not (Path.cwd() / "mlruns").exists()
