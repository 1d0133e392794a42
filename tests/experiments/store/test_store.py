"""The store: an artifact is there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from experiments.store import Store, StoreError, read_json, write_json
from sftok.io.unfinished import unfinished


@dataclass(frozen=True)
class Made:
    """What the store knows of an artifact."""

    name: str = "teacher-0123456789abcdef"


MADE = Made()
CONFIG = {"size": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


def made_by(name: str) -> dict[str, Any]:
    return {"provenance": {"started": "2026-01-01T00:00:00+00:00", "seconds": 1.5}, "by": name}


def author(store: Store) -> str:
    result = store.result(MADE)
    assert result is not None
    assert result.model_extra is not None
    return str(result.model_extra["by"])


def commit(store: Store, name: str = "us") -> Path:
    (store.open_work(MADE, CONFIG) / "model.safetensors").write_text("weights")
    store.commit(MADE, made_by(name))
    return store.folder(MADE)


def test_an_artifact_appears_when_it_is_committed(store: Store) -> None:
    work = store.open_work(MADE, CONFIG)
    (work / "model.safetensors").write_text("weights")
    (work / "checkpoint.safetensors").write_text("half")
    assert not store.is_done(MADE)
    assert store.result(MADE) is None
    store.commit(MADE, made_by("us"))
    assert store.is_done(MADE)
    assert author(store) == "us"
    assert not work.exists()
    assert sorted(path.name for path in store.folder(MADE).iterdir()) == [
        "config.json",
        "model.safetensors",
        "result.json",
    ]
    assert json.loads((store.folder(MADE) / "config.json").read_text()) == CONFIG


def test_a_work_folder_is_kept_for_the_next_attempt(store: Store) -> None:
    (store.open_work(MADE, CONFIG) / "checkpoint.safetensors").write_text("half")
    assert (store.open_work(MADE, CONFIG) / "checkpoint.safetensors").read_text() == "half"
    store.discard_work(MADE)
    assert not store.work_folder(MADE).exists()


def test_unfinished_files_of_killed_writers_are_cleared(store: Store) -> None:
    left = unfinished(store.open_work(MADE, CONFIG) / "checkpoint.safetensors")
    left.write_text("half")
    store.open_work(MADE, CONFIG)
    assert not left.exists()
    left.write_text("half")
    store.commit(MADE, made_by("us"))
    assert sorted(path.name for path in store.folder(MADE).iterdir()) == ["config.json", "result.json"]
    fresh, old = (unfinished(store.root / "cache" / f"{name}.safetensors") for name in ("fresh", "old"))
    for path in (fresh, old):
        path.write_text("half")
    os.utime(old, (0, 0))
    store.prepare()
    assert fresh.exists(), "another process may be writing it"
    assert not old.exists()
    aside = unfinished(store.folder(MADE))
    aside.mkdir()
    (aside / "model.safetensors").write_text("of a damaged artifact that was being removed")
    os.utime(aside, (0, 0))
    store.prepare()
    assert not aside.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", "", "result.json: damaged"),
        ("result.json", '{"files": {}}', "damaged or of another version .provenance"),
        ("result.json", '{"provenance": {"started": "", "seconds": "1"}, "files": {}}', "provenance.seconds"),
        ("model.safetensors", "cut", "model.safetensors: has 3 bytes instead of 7"),
        ("model.safetensors", None, "model.safetensors: missing"),
    ],
)
def test_a_damaged_artifact_is_not_finished_and_the_next_run_replaces_it(
    store: Store, name: str, content: str | None, message: str
) -> None:
    damaged = commit(store) / name
    if content is None:
        damaged.unlink()
    else:
        damaged.write_text(content)
    assert not store.is_done(MADE)
    with pytest.raises(StoreError, match=f"{message}.*run the command again"):
        store.result(MADE)
    commit(store, "the next run")
    assert author(store) == "the next run"


def test_a_late_commit_of_the_same_artifact_gives_way(store: Store) -> None:
    commit(store, "the first")
    commit(store, "the second")
    assert author(store) == "the first"
    assert not store.work_folder(MADE).exists()


def test_an_artifact_that_another_process_commits_meanwhile_is_not_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.folder(MADE).mkdir(parents=True)  # without a result, as where somebody deleted a damaged one
    (store.folder(MADE) / "rest").touch()
    make_way = Store._make_way

    def overtaken(ours: Store, artifact: Made) -> None:
        monkeypatch.setattr(Store, "_make_way", make_way)
        Store(ours.root).commit(artifact, made_by("another"))
        make_way(ours, artifact)

    monkeypatch.setattr(Store, "_make_way", overtaken)
    folder = commit(store)
    assert author(store) == "another"
    assert (folder / "model.safetensors").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_failures_are_remembered_and_forgotten(store: Store) -> None:
    assert store.failure(MADE) is None
    store.record_failure(MADE, {"reason": "it broke"})
    assert store.failure(MADE) == {"reason": "it broke"}
    assert not store.is_done(MADE)
    commit(store)
    assert store.failure(MADE) is None


def test_a_later_reason_does_not_replace_the_first(store: Store) -> None:
    store.record_failure(MADE, {"reason": "lost the others"}, first=True)
    assert store.failure(MADE) == {"reason": "lost the others"}
    store.record_failure(MADE, {"reason": "what went wrong"})
    store.record_failure(MADE, {"reason": "lost the others"}, first=True)
    assert store.failure(MADE) == {"reason": "what went wrong"}
    assert [path.name for path in (store.root / "failures").iterdir()] == [f"{MADE.name}.json"]


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "none.json") is None
    for damaged in ("{", "null"):
        path.write_text(damaged)
        with pytest.raises(StoreError, match=r"a\.json: damaged"):
            read_json(path)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_json(tmp_path / "a.json", {"a": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "a.json", {"a": 2}, flush=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("write_bytes", "No space left on device"),
        ("mkdir", "Read-only file system"),
    ],
)
def test_a_store_that_takes_no_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, error: str
) -> None:
    def refuse(path: Path, content: bytes = b"", **options: object) -> int:
        if method == "write_bytes" and not content:  # an empty file takes no space but its name's
            return 0
        raise OSError(errno.ENOSPC, error)

    monkeypatch.setattr(Path, method, refuse)
    with pytest.raises(StoreError, match=rf"{error}\); choose another with --store"):
        Store(tmp_path / "runs").prepare()
