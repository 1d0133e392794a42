"""The line `study ...` with makers that compute nothing: where its trials go, and who does them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments.tasks.base import Task

from experiments import arguments
from experiments.commands import study as command
from experiments.commands.wiring import Wiring
from experiments.records.study_results import BEST, TRIALS, stored_studies
from experiments.running import runner

WIRING = Wiring(
    spec_packages=("experiments.paper", "ablations"),
    build_report=lambda store, runs: store,
    exporters={},
    verdict_exporters={},
)


class Images:
    """Data that is never read."""

    def __init__(self, config: object):
        pass

    def fingerprints(self, split: str) -> dict[str, str]:
        return {"train": "a", split: "b"}

    def describe(self, split: str) -> str:
        return "no images"

    def size(self, split: str) -> int:
        return 1000

    def load(self, split: str) -> None:
        raise AssertionError("nothing computes here")


def make(task: Task) -> dict[str, Any]:
    """Every trial has the same value."""
    row = {"subject": "tokenizer", "metric": "rfid", "steps": 8, "extractor": "classifier", "value": 2.0}
    return {"rows": [row]} if task.artifact.kind == "evaluation" else {}


@pytest.fixture(autouse=True)
def nothing_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "find_maker", lambda kind: make)
    monkeypatch.setattr(command, "DataSets", Images)
    # Of the whole process, and so of the tests after these.
    monkeypatch.setattr(command, "prepare_torch", lambda threads: None)


def study(store: Path, *options: str) -> int:
    line = ["study", "mask-schedule", "--profile", "smoke", "--store", str(store), *options]
    return command.study(arguments.parser().parse_args(line), line, WIRING)


def test_a_plain_study_lies_where_its_name_and_profile_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(tmp_path, "--trials", "2") == 0
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["mask-schedule-smoke"]
    (record,) = stored_studies(tmp_path)
    assert record.name == "mask-schedule-smoke"
    assert f"{tmp_path}/report/study-mask-schedule-smoke.html" in capsys.readouterr().out


def test_other_values_leave_the_trials_of_the_first_alone(tmp_path: Path) -> None:
    plain = tmp_path / "studies" / "mask-schedule-smoke"
    study(tmp_path, "--trials", "2")
    before = [(plain / name).read_bytes() for name in (TRIALS, BEST)]
    for steps in ("3", "4"):
        study(tmp_path, "--trials", "1", "--set", f"stage1.steps={steps}")
    assert [(plain / name).read_bytes() for name in (TRIALS, BEST)] == before
    first, *others = stored_studies(tmp_path)
    assert [len(each.trials) for each in (first, *others)] == [2, 1, 1]
    assert sorted(each.overrides["stage1.steps"] for each in others) == [3, 4]
    for each in others:
        folder = tmp_path / "studies" / each.name
        assert folder.name == f"mask-schedule-smoke-{each.identity[:6]}"
        assert json.loads((folder / BEST).read_text()) == each.overlay
        assert str(folder / BEST) in each.best_command


def test_the_same_line_goes_on_with_the_same_trials(tmp_path: Path) -> None:
    for budget in ("1", "2"):
        study(tmp_path, "--trials", budget, "--set", "stage1.steps=3")
    (record,) = stored_studies(tmp_path)
    assert [trial.state for trial in record.trials] == ["complete"] * 2


@pytest.mark.parametrize(
    ("visible", "count", "workers", "expected"),
    [
        (None, 0, 3, [None, None]),
        (None, 1, 3, ["0", "0"]),
        (None, 4, 3, ["1", "2"]),
        (None, 2, 4, ["1", "0", "1"]),
        ("3,1", 2, 2, ["1"]),
        ("GPU-a,GPU-b", 2, 3, ["GPU-b", "GPU-a"]),
        ("2,-1,1", 1, 2, ["2"]),
        ("", 0, 2, [""]),
    ],
)
def test_each_further_worker_has_a_gpu_of_its_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    visible: str | None,
    count: int,
    workers: int,
    expected: list[str | None],
) -> None:
    started: list[str | None] = []

    class Process:
        def __init__(self, line: list[str], *, env: dict[str, str], **streams: Any):
            assert line[-2:] == ["--workers", "1"]
            assert env.items() >= {key: each for key, each in os.environ.items() if key != variable}.items()
            started.append(env.get(variable))

        returncode = 0

        def wait(self) -> int:
            return self.returncode

    variable = "CUDA_VISIBLE_DEVICES"
    monkeypatch.delenv(variable, raising=False)
    if visible is not None:
        monkeypatch.setenv(variable, visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(command, "work", lambda *arguments, **named: None)
    study(tmp_path, "--workers", str(workers))
    assert started == expected
    assert os.environ.get(variable) == visible, "this process keeps the first one, and sees all"


@pytest.mark.parametrize(
    ("code", "number", "named"), [(0, True, False), (1, True, True), (1, False, False), (-9, True, True)]
)
def test_a_worker_that_died_is_named_with_its_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
    number: bool,
    named: bool,
) -> None:
    class Process:
        returncode = code

        def __init__(self, line: list[str], **settings: Any):
            pass

        def wait(self) -> int:
            return self.returncode

    monkeypatch.setattr(subprocess, "Popen", Process)
    if not number:
        monkeypatch.setattr(command, "work", lambda *arguments, **named: None)
    assert study(tmp_path, "--trials", "1", "--workers", "2") == (0 if number else 1)
    said = f"a worker ended early, with exit code {code}: {tmp_path}/studies/mask-schedule-smoke/worker-1.log"
    assert (said in capsys.readouterr().err) is named
