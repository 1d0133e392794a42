"""Finished rows reach MLflow whole, and once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from delivering import (
    EXPERIMENT,
    assert_complete,
    client_of,
    finish,
    finish_row,
    make_request,
    nested,
    parents,
    sync,
    with_artifacts,
)

from experiments.records import load_run
from experiments.store import Store, locks
from experiments.tracking import delivery, runs


def test_a_finished_row_is_delivered_whole(store: Store) -> None:
    request = make_request(store)
    finish_row(store, request, 1)
    assert sync(store, request) == 1

    (run,), (parent,) = nested(store), parents(store)
    row = request.rows[1]
    keys = [name.rpartition("-")[2] for name in (row.evaluation, *row.training)]
    tags = [run.data.tags[f"sftok.{name}"] for name in ("evaluation", "key.warm-up", "key.alignment")]
    assert tags == keys
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {f"sftok.key.{kind}" for kind in ("teacher", "codes")} <= run.data.tags.keys()
    assert run.data.tags["sftok.protocol"] == "f00d"
    assert run.data.tags["sftok.commit"] == "3f1c2ab"
    assert run.data.tags["sftok.command"] == "python -m experiments run table0"
    assert (run.data.tags["sftok.row"], run.data.tags["sftok.seed"]) == ("high", "0")
    assert run.data.params["stage2.replacement_ratio"] == "1.0"
    assert run.data.params["data.path"] == "x" * runs.PARAMETER_LENGTH
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
    request = make_request(store)
    assert sync(store, request) == 0
    finish_row(store, request)
    assert sync(store, request) == 1
    assert parents(store)[0].info.status == "RUNNING"
    finish_row(store, request, 1)
    assert sync(store, request) == 1
    assert parents(store)[0].info.status == "FINISHED"
    assert_complete(store, rows=2)

    def unwanted(store: Store) -> None:
        # No AssertionError: `sync` lives with whatever the tracker raises.
        pytest.fail("nothing is new: MLflow is not needed")

    monkeypatch.setattr(runs, "connect", unwanted)
    assert sync(store, request) == 0


def test_a_failure_after_the_last_delivery_ends_the_parent(store: Store) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    broken = request.by_name[request.rows[1].evaluation]
    store.record_failure(broken, {"reason": "out of memory", "traceback": ""})
    assert sync(store, request) == 0
    assert parents(store)[0].info.status == "FAILED"
    store.clear_failure(broken)
    finish_row(store, request, 1)
    assert sync(store, request) == 1
    assert parents(store)[0].info.status == "FINISHED"
    assert_complete(store, rows=2)


def test_more_seeds_join_the_parent_and_other_overrides_do_not(store: Store) -> None:
    for request in (make_request(store), make_request(store, seeds=(0, 1))):
        for index in range(len(request.rows)):
            finish_row(store, request, index)
        assert sync(store, request) == 2
    assert_complete(store, rows=4)
    other = make_request(store, overrides={"tokenizer.codebook_size": 64})
    assert sync(store, other) == 2
    assert len(parents(store)) == 2


def test_other_data_are_another_request(store: Store) -> None:
    here, longer = make_request(store), make_request(store, seeds=(0, 1))
    elsewhere = with_artifacts(here, data={"test": "d" * 64})
    keys = [runs.request_key(load_run(store, each)) for each in (here, longer, elsewhere)]
    assert keys[0] == keys[1] != keys[2]


def test_analyses_come_with_their_row(store: Store) -> None:
    request = make_request(store, experiment=EXPERIMENT.model_copy(update={"analyses": ("steps",)}))
    request = with_artifacts(request, record={"analysis": {"name": "steps"}})
    analysis = request.by_name[request.rows[1].analyses[0]]
    for artifact in request.needed_by(request.rows[1]):
        if artifact != analysis:
            finish(store, artifact)
    assert sync(store, request) == 0
    finish(store, analysis)
    assert sync(store, request) == 1

    (run,) = nested(store)
    assert run.data.tags["sftok.analysis.steps"] == analysis.key
    history = client_of(store).get_metric_history(run.info.run_id, "accuracy/positions-masked")
    assert {point.step: point.value for point in history} == {1: 0.1, 2: 0.2}
    assert f"analysis-{analysis.key}" in {
        file.path for file in client_of(store).list_artifacts(run.info.run_id)
    }


def test_another_process_at_it_is_waited_for_and_then_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request(store)
    finish_row(store, request)
    monkeypatch.setattr(delivery, "WAIT_SECONDS", 0.1)
    with locks.lock(store.root / "locks" / "mlflow.json"):
        assert sync(store, request) == 0
    assert "another process" in caplog.text
    assert sync(store, request) == 1


@pytest.mark.slow
def test_two_processes_on_a_new_store_deliver_exactly_once(store: Store) -> None:
    request = make_request(store)
    for index in range(2):
        finish_row(store, request, index)
    (store.root / "mlflow.db").unlink()
    saved = request.save(store.root)
    script = (
        "import sys; from pathlib import Path; from experiments.records import load_run; "
        "from experiments.store import Store; "
        "from experiments.requests import StoredRequest; from experiments.tracking import delivery; "
        "store = Store(Path(sys.argv[1])); run = load_run(store, StoredRequest.load(Path(sys.argv[2]))); "
        "print(delivery.sync(store, run))"
    )
    command = [sys.executable, "-c", script, str(store.root), str(saved)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in outputs] == [b"", b""]
    assert sum(int(delivered) for delivered, _ in outputs) == 2
    assert_complete(store, rows=2)
    assert not (Path.cwd() / "mlruns").exists()
