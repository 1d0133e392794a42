"""Locks: one owner at a time, stale locks are recovered, and nothing relies on `fcntl`."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from pathlib import Path

import pytest

from experiments.store import locks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.json"


def leave(path: Path, host: str, pid: int, age: float, pids_of: str | None = None) -> None:
    """Write the lock of an owner that touched it `age` seconds ago."""
    content = {"host": host, "pid": pid, "started": 0.0, "pids_of": pids_of or locks._pid_namespace()}
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))


def put_live_lock_of_another(path: Path) -> str:
    """Replace `path`, as a process does that takes it over; returns its content."""
    content = json.dumps({"host": "another-host", "pid": 1, "pids_of": "", "started": 0.0, "token": "theirs"})
    draft = path.with_name("draft")
    draft.write_text(content)
    draft.replace(path)
    return content


def files(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir()]


def test_there_is_one_owner_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.json"
    with locks.lock(path) as first:
        assert first
        assert (locks.owner(path) or {})["pid"] == os.getpid()
        with locks.lock(path) as second:
            assert not second
        assert path.exists(), "a contender that is refused leaves the owner's lock alone"
    assert not path.exists()
    assert locks.owner(path) is None


def test_a_lock_is_released_when_the_work_fails(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locks.lock(path):
        raise ZeroDivisionError
    assert files(path) == []


def test_the_lock_of_a_dead_process_is_taken_over(path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    leave(path, socket.gethostname(), process.pid or 0, age=1)
    assert locks.owner(path) is None
    assert locks.is_stale(path)
    with locks.lock(path) as ours:
        assert ours
        assert not locks.is_stale(path)
    assert files(path) == []


def test_process_ids_of_another_container_mean_nothing_here(path: Path) -> None:
    leave(path, socket.gethostname(), 2**22 + 1, age=1, pids_of="pid:[1]")
    with locks.lock(path) as ours:
        assert not ours


def test_a_clock_that_is_ahead_takes_over_no_live_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file server dates the heartbeats; this machine's clock is not compared with them."""
    leave(path, "another-host", 1, age=1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1000)
    with locks.lock(path) as ours:
        assert not ours
    assert locks.owner(path) is not None
    assert not locks.is_stale(path)
    assert files(path) == ["a.json"]


@pytest.mark.parametrize(("age", "taken"), [(1.0, False), (locks.STALE_SECONDS + 1, True)])
def test_a_lock_of_another_host_becomes_stale_without_a_heartbeat(
    path: Path, age: float, taken: bool
) -> None:
    leave(path, "another-host", 1, age)
    with locks.lock(path) as ours:
        assert ours is taken


@pytest.mark.parametrize("content", ["", "{", "{}", "null", '{"pid": 1}'])
def test_a_damaged_lock_counts_by_its_age(path: Path, content: str) -> None:
    path.write_text(content)
    with locks.lock(path) as ours:
        assert not ours, "its owner may be at work"
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert locks.owner(path) is None
    assert locks.is_stale(path)
    with locks.lock(path) as ours:
        assert ours
    assert files(path) == []


def test_a_heartbeat_keeps_a_lock_alive(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.02)
    with locks.lock(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def test_a_heartbeat_does_not_touch_the_lock_of_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    seen = 0
    read = locks.read

    def counted(given: Path) -> dict[str, object] | None:
        nonlocal seen
        found = read(given)
        seen += (found or {}).get("token") == "theirs"
        return found

    monkeypatch.setattr(locks, "read", counted)
    with locks.lock(path):
        put_live_lock_of_another(path)
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert seen, "the heartbeat looked"
        assert path.stat().st_mtime == 0


def contend(path: Path, log: Path, rounds: int) -> None:
    for _ in range(rounds):
        with locks.lock(path) as ours:
            if ours:
                # An exclusive create within the lock fails if two owners ever overlap.
                marker = log.with_suffix(".inside")
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                with log.open("a") as file:
                    file.write("x")
                marker.unlink()


def test_processes_never_hold_a_lock_together(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=contend, args=(path, log, 60)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert log.read_text()


def test_a_lock_that_was_lost_is_not_released(path: Path) -> None:
    with locks.lock(path) as ours:
        assert ours
        content = put_live_lock_of_another(path)
    assert path.read_text() == content


def test_the_slower_contender_for_a_stale_lock_leaves_the_new_owners(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(path, "another-host", 1, age=3600)
    theirs: list[str] = []
    is_dead = locks._is_dead

    def slowly(given: Path, content: dict[str, object]) -> bool:
        dead = is_dead(given, content)
        if not theirs:  # in between, another contender takes it over
            theirs.append(put_live_lock_of_another(given))
        return dead

    monkeypatch.setattr(locks, "_is_dead", slowly)
    with locks.lock(path) as ours:
        assert not ours
    assert path.read_text() == theirs[0]
    assert files(path) == ["a.json"]


def test_a_process_of_a_machine_with_the_same_name_is_not_taken_for_dead(path: Path, monkeypatch) -> None:
    leave(path, socket.gethostname(), 2**22 + 1, age=1)
    assert locks.owner(path) is None
    other = path.with_name("boot_id")
    other.write_text("another machine")
    monkeypatch.setattr(locks, "BOOT", other)
    assert locks.owner(path) is not None
