"""A study's page: every trial with its state, the charts, and the command for the best one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablations import learning_rate, sampling
from experiments.records.study_results import TRIALS, StudyRun, TrialRecord
from reports import build
from reports.pages import write_report
from reports.studies import study_view

NOTHING = {"importance": None, "best": None, "overlay": {}, "best_command": ""}


def a_trial(number: int, state: str, rate: float, decay: float | None = 1e-3, **values: Any) -> TrialRecord:
    parameters = {"learning rate": rate} | ({} if decay is None else {"weight decay": decay})
    return TrialRecord.build({"number": number, "state": state, "parameters": parameters, **values})


TRIAL_LIST = (
    a_trial(0, "complete", 1e-3, 1e-4, value=2.0, seconds=90.0),
    a_trial(1, "complete", 4e-3, 1e-2, value=1.5),
    a_trial(2, "pruned", 9e-3, reason="above the median"),
    a_trial(3, "failed", 8e-3, reason="ValueError: <b>no luck</b>"),
    a_trial(4, "running", 2e-3, None),
)


def a_run(**changes: Any) -> StudyRun:
    values: dict[str, Any] = {
        "study": learning_rate.STUDY,
        "profile": "cpu",
        "meaningless": False,
        "identity": "abc",
        "overrides": {},
        "data": "Fashion-MNIST",
        "command": "python -m experiments study learning-rate",
        "updated": "2026-01-01T00:00:00+00:00",
        "budget": 24,
        "extractor": "classifier@28",
        "trials": TRIAL_LIST,
        "importance": {"learning rate": 0.8, "weight decay": 0.2},
        "best": 1,
        "overlay": {"stage1.training.optimizer.learning_rate": 4e-3},
        "best_command": "python -m experiments run table4 --overlay best.json",
    }
    return StudyRun(**(values | changes))


def page_of(run: StudyRun, folder: Path) -> str:
    write_report(folder, [], [run])
    return (folder / f"study-{run.name}.html").read_text()


def test_every_trial_is_listed_with_its_state_and_reason(tmp_path: Path) -> None:
    page = page_of(a_run(), tmp_path)
    assert "above the median" in page
    assert "ValueError: &lt;b&gt;no luck&lt;/b&gt;" in page
    assert "python -m experiments run table4 --overlay best.json" in page
    assert 'Importance of the parameters: learning rate 80 %, weight decay 20 %."' in page
    assert "trial 0: 2, trial 1: 1.5. Pruned: 1, failed: 1." in page
    assert page.count("<svg viewBox") == page.count('role="img" aria-label="') == 4
    assert "NaN" not in page


@pytest.mark.parametrize(("name", "shown"), [("a<b>&c", "a&lt;b&gt;&amp;c"), (r"$\frac$", r"$\frac$")])
def test_names_in_charts_are_text_and_nothing_else(tmp_path: Path, name: str, shown: str) -> None:
    study = learning_rate.STUDY
    space = {name: study.space["learning rate"], "weight decay": study.space["weight decay"]}
    trials = [
        TrialRecord.build(
            {**dict(each), "parameters": {name: 1e-3, "weight decay": 1e-3 * (1 + each.number)}}
        )
        for each in TRIAL_LIST
    ]
    changes = {"study": study.model_copy(update={"space": space}), "trials": tuple(trials)}
    page = page_of(a_run(importance={name: 0.7, "weight decay": 0.3}, **changes), tmp_path)
    assert page.count("<svg viewBox") == 4
    assert shown in page
    assert "<b>" not in page


def test_the_status_counts_the_trials_that_have_ended() -> None:
    view = study_view(a_run())
    assert view.sentence == "4 of 24 trials have ended: 2 complete, 1 pruned, 1 failed, 1 running."
    assert view.word == "running"
    assert study_view(a_run(budget=4)).word == "complete"
    assert study_view(a_run(trials=(), **NOTHING)).word == "waiting"
    assert view.best is view.trials[1]


def test_a_study_without_results_has_a_page(tmp_path: Path) -> None:
    assert "No trial yet" in page_of(a_run(trials=(), **NOTHING), tmp_path)
    failed = page_of(a_run(trials=TRIAL_LIST[3:], **NOTHING), tmp_path)
    assert "Best trial" not in failed
    assert "<svg viewBox" not in failed


def test_choices_are_drawn_by_their_names(tmp_path: Path) -> None:
    trials = tuple(
        TrialRecord(
            number=number,
            state="complete",
            value=float(number),
            parameters={"temperature": 0.5 * number, "schedule": schedule, "lookup": "hard"},
        )
        for number, schedule in enumerate(("arccos", "sqrt", "linear"))
    )
    page = page_of(a_run(study=sampling.STUDY, trials=trials, best=0, importance=None), tmp_path)
    drawn = page[page.index("<svg viewBox") : page.rindex("</svg>")]
    assert all(name in drawn for name in (*sampling.STUDY.space, "arccos", "sqrt", "linear"))
    assert page.count("<svg viewBox") == 3


def test_the_pages_are_built_from_the_stored_record(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "learning-rate-cpu"
    folder.mkdir(parents=True)
    (folder / TRIALS).write_text(a_run().model_dump_json())
    index = build(tmp_path, [])
    assert "study-learning-rate-cpu.html" in index.read_text()
    script = f"import reports, pathlib; reports.build(pathlib.Path({str(tmp_path)!r}), [])"
    page = index.parent / "study-learning-rate-cpu.html"
    first = page.read_text()
    subprocess.run([sys.executable, "-c", script], check=True)
    assert page.read_text() == first


def test_a_study_with_overrides_has_a_page_and_a_line_of_its_own(tmp_path: Path) -> None:
    plain, other = a_run(), a_run(identity="0123456789", overrides={"stage1.steps": 7})
    index = write_report(tmp_path, [], [plain, other]).read_text()
    for run in (plain, other):
        assert f'href="study-{run.name}.html"' in index
    assert index.count("stage1.steps=7") == 1
    assert "stage1.steps=7" not in (tmp_path / "study-learning-rate-cpu.html").read_text()
    assert "stage1.steps=7" in (tmp_path / "study-learning-rate-cpu-012345.html").read_text()
