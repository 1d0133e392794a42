from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from experiments import claims, tracked, tracking
from experiments.artifacts import Artifact
from experiments.planning.plan import plan
from experiments.planning.requests import Request
from experiments.profiles.base import Profile
from experiments.records.collect import table_run
from experiments.spec import Experiment, Row
from experiments.store import Store

PROFILE = Profile(
    name="tiny",
    purpose="tests",
    overlay={"data.image_size": 256, "tokenizer_steps": 30, "stage1.steps": 10},
    meaningless=True,
)
EXPERIMENT = Experiment(
    name="table0",
    kind="table",
    title="A table",
    source="Table 0",
    description="",
    rows=(
        Row(name="low", label="low", overrides={"stage2.replacement_ratio": 0.5}),
        Row(name="high", label="high", overrides={"stage2.replacement_ratio": 1.0}),
    ),
)
FINGERPRINTS = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, made once: making them takes a second."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "runs")
    store.prepare()
    shutil.copy(empty_database, store.root / "mlflow.db")
    return store


def make_request(seeds: tuple[int, ...] = (0,), overrides: dict[str, Any] | None = None) -> Request:
    planned = plan(EXPERIMENT, PROFILE, seeds, overrides or {}, FINGERPRINTS)
    return Request(planned, "python -m experiments run table0", "ten images", "2026-01-01T00:00:00+00:00")


def finish(store: Store, artifact: Artifact) -> None:
    """What a maker and the runner leave behind, with made-up numbers."""
    if store.is_done(artifact):
        return
    folder = store.open_work(artifact)
    result: dict[str, Any] = {
        "provenance": {"started": "2026-01-01T00:00:00+00:00", "seconds": 60.0, "commit": "abc+changes"}
    }
    if artifact.kind == "stage":
        lines = [{"step": step, "loss": 1 / step, "learning_rate": 1e-3} for step in range(1, 11)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if artifact.kind == "evaluation" and "tokenizer" in artifact.inputs:
        measured = {"temperature": 0.0, "n_images": 10, "subject": "tokenizer"}
        rows = [
            {"metric": "rfid", "extractor": "classifier@28", "steps": steps, "value": 2.0 + steps, **measured}
            for steps in (1, 8)
        ]
        rows += [{"metric": "codebook_usage", "extractor": "", "steps": None, "value": 0.5, **measured}]
        result |= {"rows": rows, "protocol": {"fingerprint": "f00d"}}
        strips = {
            name: np.full((2, 3, 4, 4), value, np.uint8) for name, value in (("original", 9), ("T1", 200))
        }
        np.savez(folder / "examples.npz", **strips)
    store.commit(artifact, result)


def finish_row(store: Store, request: Request, index: int) -> None:
    row = request.plan.rows[index]
    for artifact in (*row.training, row.evaluation):
        finish(store, artifact)


def runs(store: Store) -> list[Any]:
    client = client_of(store)
    experiment = client.get_experiment_by_name("sftok")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def client_of(store: Store) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{store.root / 'mlflow.db'}")


def nested(store: Store) -> list[Any]:
    return [run for run in runs(store) if "sftok.delivery" in run.data.tags]


def parents(store: Store) -> list[Any]:
    return [run for run in runs(store) if "sftok.request" in run.data.tags]


def assert_complete(store: Store, rows: int) -> None:
    """Exactly one finished run per row, each with its whole curve."""
    found = nested(store)
    assert len({run.data.tags["sftok.delivery"] for run in found}) == len(found) == rows
    assert len(parents(store)) == 1
    for run in found:
        assert run.info.status == "FINISHED"
        assert len(client_of(store).get_metric_history(run.info.run_id, "warm-up/loss")) == 10


def test_a_finished_row_is_delivered_whole(store: Store) -> None:
    request = make_request()
    finish_row(store, request, 1)
    assert tracking.sync(store, request) == 1

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
    assert tracking.sync(store, request) == 0
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    assert parents(store)[0].info.status == "RUNNING"
    finish_row(store, request, 1)
    assert tracking.sync(store, request) == 1
    assert parents(store)[0].info.status == "FINISHED"
    assert_complete(store, rows=2)

    def unwanted(store: Store) -> MlflowClient:
        raise AssertionError("nothing is new: MLflow is not needed")

    monkeypatch.setattr(tracking, "_connect", unwanted)
    assert tracking.sync(store, request) == 0


def test_a_failure_after_the_last_delivery_ends_the_parent(store: Store) -> None:
    request = make_request()
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    broken = request.plan.rows[1].evaluation
    store.record_failure(broken, {"reason": "out of memory", "traceback": ""})
    assert tracking.sync(store, request) == 0
    assert parents(store)[0].info.status == "FAILED"
    store.clear_failure(broken)
    finish_row(store, request, 1)
    assert tracking.sync(store, request) == 1
    assert parents(store)[0].info.status == "FINISHED"
    assert_complete(store, rows=2)


def test_more_seeds_join_the_parent_and_other_overrides_do_not(store: Store) -> None:
    for request in (make_request(), make_request(seeds=(0, 1))):
        for index in range(len(request.plan.rows)):
            finish_row(store, request, index)
        assert tracking.sync(store, request) == 2
    assert_complete(store, rows=4)
    other = make_request(overrides={"tokenizer.codebook_size": 64})
    finish_row(store, other, 0)
    assert tracking.sync(store, other) == 1
    assert len(parents(store)) == 2


@pytest.mark.parametrize("moment", ["_log_parameters", "_log_values", "_log_files", "close"])
def test_a_kill_in_the_middle_delivers_exactly_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    request = make_request()
    for index in range(2):
        finish_row(store, request, index)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking.Tracker, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            tracking.sync(store, request)
    tracking.sync(store, request)
    assert_complete(store, rows=2)


def test_a_kill_before_the_ledger_is_written_makes_no_duplicate(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request()
    finish_row(store, request, 0)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking.Ledger, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            tracking.sync(store, request)
    assert tracking.sync(store, request) == 0
    assert_complete(store, rows=1)


def _delete_ledger(store: Store) -> None:
    (store.root / tracking.LEDGER).unlink()


def _damage_ledger(store: Store) -> None:
    (store.root / tracking.LEDGER).write_text("{")


@pytest.mark.parametrize("harm", [_delete_ledger, _damage_ledger])
def test_the_ledger_is_only_a_cache(store: Store, harm: Callable[[Store], None]) -> None:
    request = make_request()
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    harm(store)
    assert tracking.sync(store, request) == 0
    assert_complete(store, rows=1)


def test_a_lost_database_is_filled_again(store: Store, tmp_path: Path) -> None:
    request = make_request()
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    # Moved, not deleted under the open connection of this process.
    shutil.copytree(store.root, tmp_path / "moved", ignore=shutil.ignore_patterns("mlflow.db"))
    moved = Store(tmp_path / "moved")
    assert tracking.sync(moved, request) == 1
    assert_complete(moved, rows=1)


def test_a_moved_store_keeps_its_files_in_the_new_place(store: Store, tmp_path: Path) -> None:
    request = make_request()
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    # A copy, as this process has the database open.
    shutil.copytree(store.root, tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    assert tracking.sync(moved, request) == 1
    client = client_of(moved)
    experiment = client.get_experiment_by_name(f"sftok ({moved.root})")
    assert experiment is not None
    assert experiment.artifact_location == (moved.root / "mlflow-artifacts").as_uri()
    found = client.search_runs([experiment.experiment_id])
    assert {run.info.artifact_uri.startswith(experiment.artifact_location) for run in found} == {True}
    assert tracking.sync(moved, request) == 0


def test_what_the_tracker_lost_is_delivered_again_when_it_is_asked(
    store: Store, tmp_path: Path, empty_database: Path
) -> None:
    request = make_request()
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    assert tracking.sync(store, request, ask=True) == 0
    # Beside the old one, to which this process is connected: as a server that was set up anew.
    shutil.copytree(store.root, tmp_path / "moved", ignore=shutil.ignore_patterns("mlflow.db"))
    moved = Store(tmp_path / "moved")
    shutil.copy(empty_database, moved.root / "mlflow.db")
    ledger = json.loads((store.root / tracking.LEDGER).read_text())
    (known,) = ledger.values()
    (moved.root / tracking.LEDGER).write_text(json.dumps({tracking.Ledger(moved)._destination: known}))
    assert tracking.sync(moved, request) == 0, "it is remembered"
    assert tracking.sync(moved, request, ask=True) == 1
    assert_complete(moved, rows=1)


def test_a_kill_while_the_database_is_made_leaves_none(store: Store) -> None:
    (store.root / "mlflow.db").unlink()
    (store.root / ".mlflow.db.new").write_bytes(b"half a database")
    request = make_request()
    finish_row(store, request, 0)
    assert tracking.sync(store, request) == 1
    assert not (store.root / ".mlflow.db.new").exists()
    assert_complete(store, rows=1)


def test_a_server_that_is_away_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request()
    finish_row(store, request, 0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}"
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", address)
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            assert tracking.sync(store, request) == 0
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("MLflow: not delivered")
    assert "\n" not in line
    assert tracking.sync(store, request) == 1
    assert_complete(store, rows=1)


def test_another_process_at_it_is_waited_for_and_then_named(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request()
    finish_row(store, request, 0)
    monkeypatch.setattr(tracking, "WAIT_SECONDS", 0.1)
    with claims.claim(store.root / "claims" / "mlflow.json"):
        assert tracking.sync(store, request) == 0
    assert "another process" in caplog.text
    assert tracking.sync(store, request) == 1


@pytest.mark.slow
def test_two_processes_on_a_new_store_deliver_exactly_once(store: Store) -> None:
    request = make_request()
    for index in range(2):
        finish_row(store, request, index)
    (store.root / "mlflow.db").unlink()
    saved = request.save(store)
    script = (
        "import sys; from pathlib import Path; from experiments import tracking; "
        "from experiments.planning.requests import Request; from experiments.store import Store; "
        "print(tracking.sync(Store(Path(sys.argv[1])), Request.load(Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, str(store.root), str(saved)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [errors for _, errors in outputs] == [b"", b""]
    assert sum(int(delivered) for delivered, _ in outputs) == 2
    assert_complete(store, rows=2)
    assert not (Path.cwd() / "mlruns").exists()


def test_metric_names_keep_to_what_mlflow_allows(store: Store) -> None:
    request = make_request()
    finish_row(store, request, 0)
    row = table_run(store, request).rows[0]
    assert [value.name for value in tracked.measurements(row)] == ["rfid/classifier-28"] * 2 + [
        "codebook_usage"
    ]


def test_the_strip_has_a_line_for_each_entry(tmp_path: Path) -> None:
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    np.savez(
        tmp_path / "examples.npz",
        original=images,
        labels=np.zeros(len(images), int),
        class_names=np.array(["a"]),
        T1=images + 1,
    )
    picture = tracked.strip(tmp_path / "examples.npz")
    assert picture.shape == (8, 10, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[4:, 5:], images[1].transpose(1, 2, 0) + 1)


def test_analyses_come_with_their_row(store: Store) -> None:
    spec = EXPERIMENT.model_copy(update={"analyses": ("steps",)})
    planned = plan(spec, PROFILE, (0,), {}, FINGERPRINTS)
    request = Request(planned, "command", "ten images", "2026-01-01T00:00:00+00:00")
    finish_row(store, request, 1)
    assert tracking.sync(store, request) == 0
    (analysis,) = planned.rows[1].analyses
    measured = {"temperature": 0.0, "n_images": 10, "subject": "tokenizer", "extractor": ""}
    rows = [{"metric": "step_accuracy", "steps": step, "value": step / 10, **measured} for step in (1, 2)]
    store.open_work(analysis)
    made = {"started": "2026-01-01T01:00:00+00:00", "seconds": 5.0, "commit": "abc"}
    store.commit(analysis, {"rows": rows, "provenance": made})
    assert tracking.sync(store, request) == 1

    (run,) = nested(store)
    assert run.data.tags["sftok.analysis.steps"] == analysis.key
    history = client_of(store).get_metric_history(run.info.run_id, "step_accuracy")
    assert {point.step: point.value for point in history} == {1: 0.1, 2: 0.2}
    assert f"analysis-{analysis.key}" in {
        file.path for file in client_of(store).list_artifacts(run.info.run_id)
    }
