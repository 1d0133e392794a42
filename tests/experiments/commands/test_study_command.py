"""The line `study ...` with artifacts that compute nothing: where its trials go, and who does them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.artifacts import Artifact, all_kinds
from experiments.artifacts.context import Context
from experiments.commands import dispatch, search
from experiments.commands.wiring import Wiring
from experiments.records.study_results import BEST, TRIALS, stored_studies
from experiments.specs.registry import Registry
from experiments.studies import work, workers


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


def make(artifact: Artifact, context: Context) -> dict[str, Any]:
    """Every trial has the same value."""
    row = {"subject": "tokenizer", "metric": "rfid", "steps": 8, "extractor": "classifier", "n_images": 9}
    return {"rows": [{**row, "value": 2.0}]} if artifact.kind == "evaluation" else {}


@pytest.fixture(autouse=True)
def nothing_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in all_kinds().values():
        monkeypatch.setattr(kind, "make", make)
    monkeypatch.setattr(search, "DataSets", Images)
    # Of the whole process, and so of the tests after these.
    monkeypatch.setattr(search, "prepare_torch", lambda threads: None)


def study(store: Path, *options: str, name: str = "mask-schedule") -> int:
    line = ("study", name, "--profile", "smoke", "--store", str(store), *options)
    wiring = Wiring(
        argv=line,
        registry=Registry(["experiments.paper", "ablations"]),
        build_report=lambda store, runs: store,
        build_evaluations=lambda store: None,
        export=lambda frame, format: "",
        export_verdicts=lambda runs, format: "",
    )
    return dispatch(line, wiring)


def test_a_plain_study_is_in_the_folder_of_its_name_and_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study(tmp_path, "--trials", "2") == 0
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["mask-schedule-smoke"]
    (record,) = stored_studies(tmp_path)
    assert record.name == "mask-schedule-smoke"
    printed = capsys.readouterr().out
    assert f"{tmp_path}/report/study-mask-schedule-smoke.html" in printed
    assert "mask-schedule: 2 trials, 2 complete\n" in printed
    assert "best: trial 0, rfid 2 at T=8; to run it:" in printed


def test_other_values_leave_the_trials_of_the_first_alone(tmp_path: Path) -> None:
    plain = tmp_path / "studies" / "mask-schedule-smoke"
    study(tmp_path, "--trials", "2")
    before = [(plain / name).read_bytes() for name in (TRIALS, BEST)]
    for steps in (3, 4):
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


def test_the_same_line_continues_the_same_trials(tmp_path: Path) -> None:
    for budget in ("1", "2"):
        study(tmp_path, "--trials", budget, "--set", "stage1.steps=3")
    (record,) = stored_studies(tmp_path)
    assert [trial.state for trial in record.trials] == ["complete"] * 2


def test_a_study_in_a_file_of_your_own(tmp_path: Path) -> None:
    path = tmp_path / "my_study.py"
    text = (Path(__file__).parents[3] / "ablations" / "mask_schedule.py").read_text()
    path.write_text(text.replace('name="mask-schedule"', 'name="mine"'))
    assert study(tmp_path / "runs", "--trials", "1", name=str(path)) == 0
    (record,) = stored_studies(tmp_path / "runs")
    assert record.name == "mine-smoke"
    del sys.modules["my_study"]


@pytest.mark.parametrize(("end", "value", "named"), [(0, True, False), (1, True, True), (1, False, False)])
def test_a_worker_that_failed_is_named_with_its_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    end: int,
    value: bool,
    named: bool,
) -> None:
    monkeypatch.setattr(workers.sys, "executable", "/bin/sh")
    monkeypatch.setattr(search, "further_workers", _ending_with(end))
    if not value:
        monkeypatch.setattr(work.Worker, "work", lambda *arguments, **named: None)
    assert study(tmp_path, "--trials", "1", "--workers", "2") == (0 if value else 1)
    printed = capsys.readouterr()
    log = f"{tmp_path}/studies/mask-schedule-smoke/worker-1.log"
    assert f"worker 1 prints to {log}\n" in printed.out
    assert (f"a worker failed with exit code {end}; see {log}" in printed.err) is named


def _ending_with(code: int) -> Any:
    """`further_workers` that run a shell, which ends with `code`."""
    return lambda number, arguments, folder: workers.further_workers(number, ["-c", f"exit {code}"], folder)
