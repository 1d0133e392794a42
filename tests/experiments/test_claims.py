"""Claims: one owner at a time, stale ones are recovered, nothing relies on file locks."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import time
from pathlib import Path

import pytest

from experiments import claims


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "claims" / "a.json"
    with claims.claim(path) as first:
        assert first
        assert claims.owner(path)["pid"] == os.getpid()  # type: ignore[index]
        with claims.claim(path) as second:
            assert not second
        assert path.exists(), "a refused claim leaves the owner's alone"
    assert not path.exists()
    assert claims.owner(path) is None


def test_a_claim_is_released_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claims.claim(tmp_path / "a.json"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def _leave(path: Path, host: str, pid: int, age: float, pids_of: str | None = None) -> None:
    content = {"host": host, "pid": pid, "started": 0.0, "pids_of": pids_of or claims._namespace()}
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=int)
    process.start()
    process.join()
    path = tmp_path / "a.json"
    _leave(path, socket.gethostname(), process.pid or 0, age=1)
    assert claims.owner(path) is None
    assert claims.is_stale(path)
    with claims.claim(path) as ours:
        assert ours
        assert not claims.is_stale(path)
    assert not claims.is_stale(path), "it was given up in order"
    assert list(tmp_path.iterdir()) == []


def test_process_numbers_of_another_container_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    _leave(path, socket.gethostname(), 2**22 + 1, age=1, pids_of="pid:[1]")
    with claims.claim(path) as ours:
        assert not ours, "no process here has that number, but it is not of here"


def test_a_clock_that_is_ahead_takes_no_living_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file server dates the heartbeats; the time by this machine is not compared with them."""
    path = tmp_path / "a.json"
    _leave(path, "another-host", 1, age=1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 1000)
    with claims.claim(path) as ours:
        assert not ours
    assert claims.owner(path) is not None, "status and the pages say so, too"
    assert not claims.is_stale(path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(("age", "taken"), [(1.0, False), (claims.STALE_SECONDS + 1, True)])
def test_a_claim_of_another_host_goes_stale_with_its_heartbeat(
    tmp_path: Path, age: float, taken: bool
) -> None:
    path = tmp_path / "a.json"
    _leave(path, "another-host", 1, age)
    with claims.claim(path) as ours:
        assert ours is taken


def test_a_heartbeat_keeps_a_claim_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.02)
    path = tmp_path / "a.json"
    with claims.claim(path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0


def _contend(path: Path, log: Path, rounds: int) -> None:
    for _ in range(rounds):
        with claims.claim(path) as ours:
            if ours:
                # An exclusive create inside the claim fails if two owners ever overlap.
                marker = log.with_suffix(".inside")
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
                with log.open("a") as file:
                    file.write("x")
                marker.unlink()


def test_processes_never_own_together(tmp_path: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_contend, args=(tmp_path / "claims" / "a.json", log, 60)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert log.read_text()


@pytest.mark.parametrize("content", ["", "{", "{}", "null", '{"pid": 1}'])
def test_a_damaged_claim_counts_by_its_age(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with claims.claim(path) as ours:
        assert not ours, "its owner may be at work"
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert claims.owner(path) is None
    assert claims.is_stale(path)
    with claims.claim(path) as ours:
        assert ours
    assert list(tmp_path.iterdir()) == []


def _of_another(path: Path) -> str:
    """Puts a living claim of somebody else at `path`, as who takes over does; returns its content."""
    content = json.dumps({"host": "another-host", "pid": 1, "pids_of": "", "started": 0.0, "token": "theirs"})
    draft = path.with_name("draft")
    draft.write_text(content)
    draft.replace(path)
    return content


def test_a_claim_that_was_lost_is_not_released(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with claims.claim(path) as ours:
        assert ours
        content = _of_another(path)
    assert path.read_text() == content, "a process that slept has no right to the new owner's claim"


def test_a_heart_does_not_beat_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    path = tmp_path / "a.json"
    reads = 0
    read = claims._read

    def counted(given: Path) -> dict[str, object] | None:
        nonlocal reads
        found = read(given)
        reads += (found or {}).get("token") == "theirs"
        return found

    monkeypatch.setattr(claims, "_read", counted)
    with claims.claim(path):
        _of_another(path)
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while not reads and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert reads, "the heart looked"
        assert path.stat().st_mtime == 0


def test_who_comes_second_to_a_dead_claim_leaves_the_new_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    _leave(path, "another-host", 1, age=3600)
    theirs: list[str] = []
    has_died = claims._has_died

    def slowly(given: Path, content: dict[str, object]) -> bool:
        dead = has_died(given, content)
        if not theirs:  # in between, another contender takes it over
            theirs.append(_of_another(given))
        return dead

    monkeypatch.setattr(claims, "_has_died", slowly)
    with claims.claim(path) as ours:
        assert not ours
    assert path.read_text() == theirs[0]
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
