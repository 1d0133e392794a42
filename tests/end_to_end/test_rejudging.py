"""A store that holds what was trained is judged in more feature spaces without training it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TRAINED = {"teacher", "codes", "stage", "classifier"}


def run(store: Path, name: str, *more: str) -> None:
    command = [sys.executable, "-m", "experiments", "run", name, "--profile", "smoke", "--yes"]
    done = subprocess.run(
        [*command, "--store", str(store), *more], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr


def made(store: Path) -> dict[str, int]:
    """When each artifact was made."""
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob("artifacts/*/result.json")}


def test_more_judges_and_their_calibration_train_nothing_again(tmp_path: Path) -> None:
    run(tmp_path, "table4", "--set", 'evaluation.extractors=["classifier"]')
    before = made(tmp_path)
    run(tmp_path, "table4")
    run(tmp_path, "judges")
    after = made(tmp_path)
    assert before.items() <= after.items(), "what was there is as it was"
    new = set(after.keys() - before.keys())
    assert {name.partition("-")[0] for name in new} == {"judge", "evaluation", "calibration", "classifier"}
    trained = {name for name in new if name.partition("-")[0] in TRAINED}
    assert len(trained) == 1, "a classifier of another seed, for the calibration"
    page = (tmp_path / "report" / "table4.html").read_text()
    assert "vicreg" in page
    assert (tmp_path / "report" / "judges.html").read_text().count('id="judges"') == 1
