"""The training curve on disk is what the loop logged, whatever interrupted it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from experiments.artifacts.context import Context
from experiments.executors import monitor
from experiments.executors.monitor import FileMonitor
from experiments.store import Store
from sftok.training.loop import TrainingInterrupted


def monitored(folder: Path) -> tuple[FileMonitor, list[tuple[int, int, float | None]]]:
    seen: list[tuple[int, int, float | None]] = []
    return FileMonitor(folder, lambda *call: seen.append(call), lambda: False), seen


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_resuming_drops_a_torn_line_and_those_that_are_logged_again(tmp_path: Path) -> None:
    first, _ = monitored(tmp_path)
    for step in (1, 2, 3, 4):
        first.record({"step": step, "loss": 1.0 / step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    again, _ = monitored(tmp_path)
    again.resumed(2)
    again.record({"step": 3, "loss": 0.0})
    assert steps(tmp_path) == [1, 2, 3]


def test_resuming_without_a_curve(tmp_path: Path) -> None:
    monitored(tmp_path)[0].resumed(3)
    assert steps(tmp_path) == []


def test_remaining_time_counts_from_the_resumed_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(monitor.time, "monotonic", lambda: clock[0])
    watched, seen = monitored(tmp_path)
    watched.progress(50, 100)
    clock[0] = 110.0
    watched.progress(60, 100)
    assert seen == [(50, 100, None), (60, 100, 40.0)]
    assert json.loads((tmp_path / "progress.json").read_text())["done"] == 60


def test_what_delays_the_next_unit_is_in_the_file_until_that_unit_is_done(tmp_path: Path) -> None:
    told: list[str] = []
    watched = FileMonitor(tmp_path, lambda *call: None, lambda: False, told.append)
    watched.preparing("compiling")
    content = json.loads((tmp_path / "progress.json").read_text())
    assert (content["preparing"], told) == ("compiling", ["compiling"])
    assert "total" not in content
    watched.progress(1, 100)
    assert "preparing" not in json.loads((tmp_path / "progress.json").read_text())


def test_a_full_disk_does_not_stop_the_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def full(path: Path, content: object) -> None:
        tried.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(monitor, "write_json", full)
    watched, seen = monitored(tmp_path)
    watched.progress(1, 2)
    watched.preparing("compiling")
    assert seen == [(1, 2, None)]
    assert tried == 2 * [tmp_path / "progress.json"]


def test_work_without_checkpoints_stops_when_asked(tmp_path: Path) -> None:
    stopping = [False]
    seen: list[int] = []
    watched = FileMonitor(tmp_path, lambda done, total, left: seen.append(done), lambda: stopping[0])
    context = Context(
        folder=tmp_path,
        store=Store(tmp_path),
        load_data=None,
        monitor=watched,  # type: ignore[arg-type]
    )
    context.report(0.5)
    stopping[0] = True
    with pytest.raises(TrainingInterrupted, match="starts again"):
        context.report(0.6)
    assert seen == [500]
