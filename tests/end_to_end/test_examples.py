"""The examples run from a folder outside the repository, are reported, and are not run twice."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = {"own_context": "sampled", "own_metric": "sfvr", "own_quantizer": "fsq"}


def experiments(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *arguments, "--store", "runs"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the examples; one store serves all of them."""
    folder = tmp_path_factory.mktemp("outside")
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, folder)
    return folder


def test_every_example_is_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*ROWS, "own_tokenizer"}


def test_the_tokenizer_is_measured_outside_the_repository(outside: Path) -> None:
    line = ("evaluate", "--tokenizer", "own_tokenizer.py", "--set", "data.limit=100", "--format", "csv")
    found = experiments(outside, *line)
    assert "bits_per_image,,196.0" in found
    assert experiments(outside, *line) == found


@pytest.mark.parametrize("name", ROWS)
def test_an_example_runs_outside_the_repository(outside: Path, name: str) -> None:
    options = ("--profile", "smoke", "--set", "evaluation.steps=[1,8]")
    experiments(outside, "run", f"{name}.py", *options)
    page = (outside / "runs" / "report" / f"{name.replace('_', '-')}.html").read_text()
    assert ROWS[name] in experiments(outside, "results", f"{name}.py")
    body = page.partition("</head>")[2]  # the style has these words, too
    assert any(outcome in body for outcome in ("agrees", "inconclusive", "one seed"))
    assert ('id="SharpnessChart"' in page) == (name == "own_metric")
    again = experiments(outside, "run", f"{name}.py", *options)
    assert re.search(r"(\d+) artifacts.* \1 done", again), again
