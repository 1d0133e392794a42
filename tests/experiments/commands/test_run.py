"""Whether a run asks before it begins."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from experiments.__main__ import main
from experiments.artifacts import Artifact, artifact
from experiments.commands import run
from experiments.executors.stop import INTERRUPTED

FIRST, SECOND = (artifact("stage", config={"n": n}, label=f"stage {n}") for n in (1, 2))


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
        ({FIRST: 60.0, SECOND: 60.0}, None),
        ({FIRST: 60.0, SECOND: 36_000.0}, "This takes about 10.0 h. Go on? [y/N] "),
        (
            {FIRST: None, SECOND: None},
            "This takes a time that is not known yet for 2 of 2 artifacts. Go on? [y/N] ",
        ),
        (
            {FIRST: 60.0, SECOND: None},
            "This takes about 60 s and a time that is not known yet for 1 of 2 artifacts. Go on? [y/N] ",
        ),
    ],
)
def test_a_long_run_and_one_of_unknown_length_are_asked_for(
    costs: Mapping[Artifact, float | None],
    question: str | None,
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run._agreed(costs) == (question is None)
    assert asked == ([] if question is None else [question])
    assert ("nothing was begun; --yes does not ask" in capsys.readouterr().err) == (question is not None)


def test_nobody_is_asked_where_nobody_could_answer(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert run._agreed({FIRST: None})
    assert asked == []


def test_ctrl_c_before_anything_runs_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*given: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", interrupted)
    assert main(["run", "table4", "--profile", "smoke"]) == INTERRUPTED
    assert capsys.readouterr().err == "run: stopped\n"
