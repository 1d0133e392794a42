"""Whether a run asks before it starts, and what it says about claims at its end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from stored_runs import StoreMaker

from experiments.__main__ import main
from experiments.commands import execution
from experiments.commands.execution import agreed, what_it_replaces, what_would_decide


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions; the answer is no."""
    questions: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or "n")
    return questions


@pytest.mark.parametrize(
    ("costs", "question"),
    [
        ({"first": 60.0, "second": 60.0}, None),
        ({"first": 60.0, "second": 36_000.0}, "This takes about 10.0 h. Continue? [y/N] "),
        (
            {"first": None, "second": None},
            "This takes an unknown time for 2 of 2 artifacts. Continue? [y/N] ",
        ),
        (
            {"first": 60.0, "second": None},
            "This takes about 60 s and an unknown time for 1 of 2 artifacts. Continue? [y/N] ",
        ),
    ],
)
def test_a_person_is_asked_before_a_long_run_and_one_of_unknown_length(
    costs: Mapping[str, float | None],
    question: str | None,
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert agreed(costs) == (question is None)
    assert asked == ([] if question is None else [question])
    assert ("nothing was started; --yes skips this question" in capsys.readouterr().err) == (
        question is not None
    )


def test_nobody_is_asked_where_nobody_could_answer(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert agreed({"first": None})
    assert asked == []


def test_ctrl_c_before_anything_runs_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(execution.Execution, "carry_out", interrupted)
    assert main(["run", "table4", "--profile", "smoke"]) == 130
    assert capsys.readouterr().err == "run: stopped\n"


def test_a_single_seed_is_told_what_would_decide_the_claim(tmp_path: Path) -> None:
    maker = StoreMaker(tmp_path)
    lines = what_would_decide(maker.run(seeds=(0,))).splitlines()
    assert lines[0].startswith("inconclusive: rFID falls as the replacement ratio rises: ")
    assert lines[1].startswith("to decide it (3 seeds, about ")
    assert lines[2:] == ["  python -m experiments run table4 --seeds 3"]
    assert what_would_decide(maker.run(seeds=(0, 1, 2))) == ""
    assert what_would_decide(maker.run(seeds=(0,), meaningless=True)) == ""


def test_a_run_says_which_results_its_page_no_longer_shows(tmp_path: Path) -> None:
    maker = StoreMaker(tmp_path)
    first = maker.request(seeds=(0,))
    assert what_it_replaces(first, tmp_path) == ""
    assert what_it_replaces(first.model_copy(update={"seeds": (0, 1)}), tmp_path) == ""
    said = what_it_replaces(first.model_copy(update={"seeds": (2,)}), tmp_path).splitlines()
    assert said[0].startswith("table4: this replaces the run with seed 0; ")
    assert said[1] == "  python -m experiments run table4 --seeds 0,2"
    quick = first.model_copy(update={"overrides": {"stage1.steps": 3}})
    assert "the values of the profile" in what_it_replaces(quick, tmp_path)
    quick.save(tmp_path)
    assert "replaces the run with stage1.steps=3;" in what_it_replaces(first, tmp_path)
