"""The store: an artifact is there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from experiments.artifacts import Artifact, artifact
from experiments.store import Store, StoreError, read_json, write_json
from sftok.unfinished import unfinished


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


def teacher() -> Artifact:
    return artifact("teacher", config={"size": 1}, label="teacher")


def test_an_artifact_appears_when_it_is_committed(store: Store) -> None:
    made = teacher()
    work = store.open_work(made)
    (work / "model.safetensors").write_text("weights")
    (work / "checkpoint.safetensors").write_text("half")
    assert not store.is_done(made)
    store.commit(made, {"value": 1.5})
    assert store.is_done(made)
    assert store.result(made) == {"value": 1.5}
    assert not work.exists()
    assert sorted(path.name for path in store.folder(made).iterdir()) == [
        "config.json",
        "model.safetensors",
        "result.json",
    ]
    assert json.loads((store.folder(made) / "config.json").read_text())["config"] == {"size": 1}


def test_a_work_folder_is_kept_for_the_next_attempt(store: Store) -> None:
    made = teacher()
    (store.open_work(made) / "checkpoint.safetensors").write_text("half")
    assert (store.open_work(made) / "checkpoint.safetensors").read_text() == "half"
    store.discard_work(made)
    assert not store.work_folder(made).exists()


def test_what_killed_writers_left_is_cleared(store: Store) -> None:
    made = teacher()
    left = unfinished(store.open_work(made) / "checkpoint.safetensors")
    left.write_text("half")
    store.open_work(made)
    assert not left.exists()
    left.write_text("half")
    store.commit(made, {})
    assert sorted(path.name for path in store.folder(made).iterdir()) == ["config.json", "result.json"]
    fresh, old = (unfinished(store.root / "cache" / f"{name}.safetensors") for name in ("fresh", "old"))
    for path in (fresh, old):
        path.write_text("half")
    os.utime(old, (0, 0))
    store.prepare()
    assert fresh.exists(), "it may be another process's, which is at it"
    assert not old.exists()
    aside = unfinished(store.folder(made))
    aside.mkdir()
    (aside / "model.safetensors").write_text("of a damaged artifact that was to be deleted")
    os.utime(aside, (0, 0))
    store.prepare()
    assert not aside.exists()


def test_a_damaged_result_is_deleted_and_made_again_as_it_says(store: Store) -> None:
    made = teacher()
    store.open_work(made)
    store.commit(made, {"value": 1})
    result = store.folder(made) / "result.json"
    result.write_text("")
    with pytest.raises(StoreError, match="delete it and run again"):
        store.result(made)
    result.unlink()
    assert not store.is_done(made)
    (store.open_work(made) / "model.safetensors").write_text("weights")
    store.commit(made, {"value": 1})
    assert store.result(made) == {"value": 1}
    assert (store.folder(made) / "model.safetensors").exists()


def test_a_late_commit_of_the_same_artifact_gives_way(store: Store) -> None:
    made = teacher()
    store.open_work(made)
    store.commit(made, {"value": 1})
    store.open_work(made)
    store.commit(made, {"value": 2})
    assert store.result(made) == {"value": 1}
    assert not store.work_folder(made).exists()


def test_what_another_process_commits_meanwhile_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = teacher()
    store.folder(made).mkdir(parents=True)  # without a result, as where somebody deleted a damaged one
    (store.folder(made) / "rest").touch()
    (store.open_work(made) / "model.safetensors").write_text("weights")
    make_way = Store._make_way

    def overtaken(ours: Store, artifact: Artifact) -> None:
        monkeypatch.setattr(Store, "_make_way", make_way)
        other = Store(ours.root)
        other.commit(artifact, {"by": "another"})
        make_way(ours, artifact)

    monkeypatch.setattr(Store, "_make_way", overtaken)
    store.commit(made, {"by": "us"})
    assert store.result(made) == {"by": "another"}
    assert (store.folder(made) / "model.safetensors").exists()
    assert [path.name for path in store.folder(made).parent.iterdir()] == [store.folder(made).name]


def test_failures_are_remembered_and_forgotten(store: Store) -> None:
    made = teacher()
    assert store.failure(made) is None
    store.record_failure(made, {"reason": "it broke"})
    assert store.failure(made) == {"reason": "it broke"}
    assert not store.is_done(made)
    store.open_work(made)
    store.commit(made, {})
    assert store.failure(made) is None


def test_the_first_reason_stays_where_the_first_is_asked_for(store: Store) -> None:
    made = teacher()
    store.record_failure(made, {"reason": "lost the others"}, first=True)
    assert store.failure(made) == {"reason": "lost the others"}
    store.record_failure(made, {"reason": "what went wrong"})
    store.record_failure(made, {"reason": "lost the others"}, first=True)
    assert store.failure(made) == {"reason": "what went wrong"}
    assert [path.name for path in (store.root / "failures").iterdir()] == [f"{made.name}.json"]


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "none.json") is None
    path.write_text("{")
    with pytest.raises(StoreError, match=r"a\.json: damaged"):
        read_json(path)
    path.write_text("null")
    with pytest.raises(StoreError, match=r"a\.json: damaged"):
        read_json(path)


def test_a_full_disk_leaves_no_drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_json(tmp_path / "a.json", {"a": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "a.json", {"a": 2}, flush=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_a_full_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        if not content:  # an empty file takes no space but its name's
            return 0
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match=r"No space left on device\); choose another with --store"):
        Store(tmp_path).prepare()


def test_a_read_only_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    # A folder's permissions do not stop root.
    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(StoreError, match=r"Read-only file system\); choose another with --store"):
        Store(tmp_path / "runs").prepare()


def test_a_store_in_a_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another with --store"):
        Store(tmp_path / "file").prepare()
