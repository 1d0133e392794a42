"""Kills, lost files, a store that was moved, a server that is away: every row is there once afterwards."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from delivering import assert_complete, client_of, deliver, finish_row, make_request, sync

from experiments.store import METRICS, Store
from experiments.tracking import delivery, ledger, runs


@pytest.mark.parametrize("moment", ["_log_parameters", "_log_values", "_log_files", "close"])
def test_a_kill_in_the_middle_delivers_exactly_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    request = make_request(store)
    for index in range(2):
        finish_row(store, request, index)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runs.Tracker, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            sync(store, request)
    sync(store, request)
    assert_complete(store, rows=2)


def test_a_kill_before_the_ledger_is_written_makes_no_duplicate(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = make_request(store)
    finish_row(store, request)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger.Ledger, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            sync(store, request)
    assert sync(store, request) == 0
    assert_complete(store, rows=1)


def _delete_ledger(store: Store) -> None:
    (store.root / ledger.LEDGER).unlink()


def _damage_ledger(store: Store) -> None:
    (store.root / ledger.LEDGER).write_text("{")


@pytest.mark.parametrize("harm", [_delete_ledger, _damage_ledger])
def test_the_ledger_is_only_a_cache(store: Store, harm: Callable[[Store], None]) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    harm(store)
    assert sync(store, request) == 0
    assert_complete(store, rows=1)


def test_a_lost_database_is_filled_again(store: Store, tmp_path: Path) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    # Moved, not deleted under the open connection of this process.
    shutil.copytree(store.root, tmp_path / "moved", ignore=shutil.ignore_patterns("mlflow.db"))
    moved = Store(tmp_path / "moved")
    assert sync(moved, request) == 1
    assert_complete(moved, rows=1)


def test_a_moved_store_keeps_its_files_in_the_new_place(store: Store, tmp_path: Path) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    # A copy, as this process has the database open.
    shutil.copytree(store.root, tmp_path / "moved")
    moved = Store(tmp_path / "moved")
    assert sync(moved, request) == 1
    client = client_of(moved)
    experiment = client.get_experiment_by_name(f"sftok ({moved.root})")
    assert experiment is not None
    assert experiment.artifact_location == (moved.root / "mlflow-artifacts").as_uri()
    found = client.search_runs([experiment.experiment_id])
    assert {run.info.artifact_uri.startswith(experiment.artifact_location) for run in found} == {True}
    assert sync(moved, request) == 0


def test_a_store_by_another_way_there_is_the_same(store: Store, tmp_path: Path) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    (tmp_path / "a link").symlink_to(store.root)
    assert sync(Store(tmp_path / "a link"), request) == 0
    assert_complete(store, rows=1)


def test_what_the_tracker_lost_is_delivered_again_when_it_is_asked(
    store: Store, tmp_path: Path, empty_database: Path
) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    assert sync(store, request, ask=True) == 0
    # Beside the old one, to which this process is connected: as a server that was set up anew.
    shutil.copytree(store.root, tmp_path / "moved", ignore=shutil.ignore_patterns("mlflow.db"))
    moved = Store(tmp_path / "moved")
    shutil.copy(empty_database, moved.root / "mlflow.db")
    remembered = json.loads((store.root / ledger.LEDGER).read_text())
    (known,) = remembered.values()
    (moved.root / ledger.LEDGER).write_text(json.dumps({ledger.Ledger(moved)._destination: known}))
    assert sync(moved, request) == 0, "it is remembered"
    assert sync(moved, request, ask=True) == 1
    assert_complete(moved, rows=1)


def test_a_kill_while_the_database_is_made_leaves_none(store: Store) -> None:
    (store.root / "mlflow.db").unlink()
    (store.root / ".mlflow.db.new").write_bytes(b"half a database")
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    assert not (store.root / ".mlflow.db.new").exists()
    assert_complete(store, rows=1)


def test_a_server_that_is_away_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = make_request(store)
    finish_row(store, request)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}"
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", address)
            patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            assert sync(store, request) == 0
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("MLflow: not delivered")
    assert "\n" not in line
    assert sync(store, request) == 1
    assert_complete(store, rows=1)


def test_an_error_names_the_damaged_database_and_the_remedy(store: Store, tmp_path: Path) -> None:
    request = make_request(store)
    finish_row(store, request)
    assert sync(store, request) == 1
    database = store.root / "mlflow.db"
    database.write_bytes(b"noise" * 1000)
    with pytest.raises(delivery.DeliveryError, match=rf"move {database} away, and `collect` delivers all"):
        deliver(store, request, ask=True)
    assert sync(store, request, ask=True) == 0
    # Deliver from a copy, because this process still has the damaged database open.
    shutil.copytree(store.root, tmp_path / "repaired", ignore=shutil.ignore_patterns("mlflow.db"))
    assert deliver(Store(tmp_path / "repaired"), request, ask=True) == 1
    assert_complete(Store(tmp_path / "repaired"), rows=1)


def test_an_invalid_address_promises_no_later_delivery(tmp_path: Path) -> None:
    store = Store(tmp_path / "what?")
    store.prepare()
    request = make_request(store)
    finish_row(store, request)
    with pytest.raises(delivery.DeliveryError, match=r"will not be until this is fixed .*because of the"):
        deliver(store, request)


def test_a_damaged_log_is_named_and_other_rows_are_delivered(store: Store) -> None:
    request = make_request(store)
    for index in range(2):
        finish_row(store, request, index)
    damaged = store.folder(request.by_name[request.rows[0].training[-1]]) / METRICS
    text = damaged.read_text()
    damaged.write_text("#" + text[1:])
    with pytest.raises(delivery.DeliveryError, match=f"{damaged}: line 1 is damaged; delete"):
        deliver(store, request)
    assert_complete(store, rows=1)
    damaged.write_text(text)
    assert deliver(store, request) == 1
    assert_complete(store, rows=2)
