"""Pages follow a run, and never cost more than a small share of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from experiments.commands import live
from experiments.executors.events import Event, Failed, Progress, Started, Waiting
from experiments.store import Store

ARTIFACT: Any = SimpleNamespace(name="stage-1", label="a stage")
STARTED, FAILED = Started(ARTIFACT), Failed(ARTIFACT, "why")
PROGRESS, WAITING = Progress(ARTIFACT, 1, 2, None), Waiting(ARTIFACT, {})


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(0, STARTED), (1, STARTED), (39, FAILED), (42, FAILED)], [0, 42]),
        ([(0, STARTED), (42, PROGRESS), (61, PROGRESS), (62, PROGRESS)], [0, 62]),
        ([(0, WAITING)], []),
    ],
)
def test_pages_are_built_when_something_happens_but_not_all_the_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    events: Sequence[tuple[float, Event]],
    expected: list[float],
) -> None:
    clock, built = [0.0], []

    def build(store: Path, runs: object) -> None:
        built.append(clock[0] - 100)
        clock[0] += 2  # a build takes two seconds

    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    follower = live.LiveReport(Store(tmp_path), cast("Any", SimpleNamespace(build_report=build)), [])
    for moment, event in events:
        clock[0] = 100 + moment
        follower(event)
    assert built == expected
