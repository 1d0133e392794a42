"""What a run prints about itself: plain lines into a file, bars on a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from stored_runs import line

from experiments.artifacts import Artifact
from experiments.commands import progress
from experiments.commands.progress import ConsoleProgress
from experiments.executors.events import Failed, Finished, Preparing, Progress, Started
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.store import Result

RESULT = Result(
    provenance={"started": "2026-01-01T00:00:00+00:00", "seconds": 50.0},
    files={},
    rows=[
        line("rfid", 2.5, "classifier", steps=8),
        line("rfid", 99.0, "other", steps=8),
        line("rfid", 7.0, "classifier", distortion="blur", strength=1.0),
        line("psnr", 20.0),
    ],
)
DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}


@pytest.fixture
def planned() -> Plan:
    return plan(table4.EXPERIMENT, PROFILES["smoke"], (0,), {}, DATA)


def shown(
    planned: Plan, terminal: bool = False, workers: int = 1, seconds: float = 60.0
) -> tuple[ConsoleProgress, io.StringIO, list[Artifact]]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120)
    costs: dict[Artifact, float | None] = dict.fromkeys(planned.artifacts, seconds)
    shown = ConsoleProgress(planned.artifacts, console, costs, primary="classifier", workers=workers)
    return shown, screen, list(planned.artifacts)


def test_each_artifact_has_its_own_lines(planned: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    told, screen, (first, second, *_) = shown(planned)
    told(Started(first))
    told(Started(second))
    told(Progress(first, 1, 4, 45.0))
    told(Progress(second, 1, 2, None))
    told(Finished(first, RESULT))
    told(Failed(second, "no room"))
    told.close()
    lines = screen.getvalue().splitlines()
    total = len(planned.artifacts)
    assert lines[0] == f"[1/{total}] {first.label}: started"
    assert lines[2].startswith(f"[1/{total}] {first.label}: 25 %, 45 s left, about ")
    assert lines[3] == f"[2/{total}] {second.label}: 50 %"
    assert lines[4] == f"[1/{total}] {first.label}: done in 50 s; rFID (classifier) T=8: 2.500"
    assert lines[5] == f"[2/{total}] {second.label}: FAILED: no room"


@pytest.mark.parametrize("terminal", [False, True])
def test_what_delays_the_first_step_is_shown(planned: Plan, terminal: bool) -> None:
    told, screen, (first, *_) = shown(planned, terminal)
    told(Started(first))
    told(Preparing(first, "compiling"))
    told.close()
    assert "compiling" in screen.getvalue()


def test_lines_are_rare(planned: Plan) -> None:
    told, screen, (first, *_) = shown(planned)
    told(Started(first))
    for done in range(100):
        told(Progress(first, done, 100, 1.0))
    assert len(screen.getvalue().splitlines()) == 1


@pytest.mark.parametrize(("workers", "minutes"), [(1, 9), (3, 3)])
def test_what_is_left_is_shared_by_the_workers(
    planned: Plan, monkeypatch: pytest.MonkeyPatch, workers: int, minutes: int
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    told, screen, artifacts = shown(planned, workers=workers)
    for artifact in artifacts[9:]:
        told(Failed(artifact, "not of interest here"))
    told(Started(artifacts[0]))
    told(Progress(artifacts[0], 0, 1, 60.0))
    assert f"60 s left, about {minutes} min for all" in screen.getvalue().splitlines()[-1]


def test_a_terminal_has_a_bar_for_each_running_artifact(planned: Plan) -> None:
    told, screen, (first, second, *_) = shown(planned, terminal=True)
    told(Started(first))
    told(Started(second))
    told(Progress(first, 1, 4, 45.0))
    told(Progress(second, 1, 2, 30.0))
    told._bars.refresh()  # type: ignore[union-attr]
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).splitlines()[-2:]
    assert re.search(rf"{re.escape(first.label)} .* 25 % 45 s left", last[0])
    assert re.search(rf"{re.escape(second.label)} .* 50 % 30 s left", last[1])
    told(Finished(first, RESULT))
    assert list(told._tasks) == [second], "the other bar stays"
    told.close()
    assert not told._tasks
