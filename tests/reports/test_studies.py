"""A study's page: every trial with its state, the charts, and the command for the best one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from ablations import learning_rate, sampling
from experiments.records.study_results import TRIALS, StudyRun, TrialRecord
from reports import build
from reports.pages import write_report
from reports.studies import study_view

TRIAL_LIST = (
    TrialRecord(
        number=0, state="complete", value=2.0, parameters={"learning rate": 1e-3, "weight decay": 1e-4}
    ),
    TrialRecord(
        number=1, state="complete", value=1.5, parameters={"learning rate": 4e-3, "weight decay": 1e-2}
    ),
    TrialRecord(
        number=2,
        state="pruned",
        parameters={"learning rate": 9e-3, "weight decay": 1e-3},
        reason="above the median",
    ),
    TrialRecord(
        number=3,
        state="failed",
        parameters={"learning rate": 8e-3, "weight decay": 1e-3},
        reason="ValueError: <b>no luck</b>",
    ),
    TrialRecord(number=4, state="running", parameters={"learning rate": 2e-3}),
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
        "overlay": {"stage1.training.optimisation.learning_rate": 4e-3},
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
    assert page.count("<svg viewBox") == 3
    assert "NaN" not in page


def test_the_status_counts_what_is_over() -> None:
    view = study_view(a_run())
    assert view.sentence == "4 of 24 trials over: 2 complete, 1 pruned, 1 failed, 1 running."
    assert view.word == "running"
    assert study_view(a_run(budget=4)).word == "complete"
    assert study_view(a_run(trials=())).word == "waiting"
    assert [line.best for line in view.trials] == [False, True, False, False, False]


def test_a_study_without_results_has_a_page(tmp_path: Path) -> None:
    nothing = {"importance": None, "best": None, "overlay": {}, "best_command": ""}
    assert "No trial yet" in page_of(a_run(trials=(), **nothing), tmp_path)
    failed = page_of(a_run(trials=TRIAL_LIST[3:], **nothing), tmp_path)
    assert "Best trial" not in failed
    assert "<svg viewBox" not in failed


def test_choices_stand_at_their_places(tmp_path: Path) -> None:
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
    assert all(name in page for name in sampling.STUDY.space)
    assert page.count("<svg viewBox") == 2


def test_the_pages_are_built_from_the_stored_record(tmp_path: Path) -> None:
    folder = tmp_path / "studies" / "learning-rate-cpu"
    folder.mkdir(parents=True)
    (folder / TRIALS).write_text(a_run().model_dump_json())
    index = build(tmp_path, [])
    assert "study-learning-rate-cpu.html" in index.read_text()
    first = (index.parent / "study-learning-rate-cpu.html").read_text()
    build(tmp_path, [])
    assert (index.parent / "study-learning-rate-cpu.html").read_text() == first


def test_the_same_study_with_other_values_has_a_page_and_a_line_of_its_own(tmp_path: Path) -> None:
    plain, other = a_run(), a_run(identity="0123456789", overrides={"stage1.steps": 7})
    index = write_report(tmp_path, [], [plain, other]).read_text()
    for run in (plain, other):
        assert f'href="study-{run.name}.html"' in index
    assert index.count("stage1.steps=7") == 1
    assert "stage1.steps=7" not in (tmp_path / "study-learning-rate-cpu.html").read_text()
    assert "stage1.steps=7" in (tmp_path / "study-learning-rate-cpu-012345.html").read_text()


def test_reading_studies_needs_neither_optuna_nor_torch() -> None:
    script = (
        "import sys, experiments.records.study_results; "
        "sys.exit(bool({'optuna', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
