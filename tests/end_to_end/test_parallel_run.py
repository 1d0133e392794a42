"""`torchrun -m experiments run`: two processes make one store, as one would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run_in_two(store: Path, *program: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, *program, "run", "figure8", "--profile", "smoke", "--yes", "--store", str(store)]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_two_processes_run_a_table(tmp_path: Path) -> None:
    done = run_in_two(tmp_path, "-m", "experiments")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all tables:") == 1
    results = {
        path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("artifacts/*/result.json")
    }
    processes = {
        name.partition("-")[0]: result["provenance"]["processes"] for name, result in results.items()
    }
    assert processes == {"classifier": 1, "judge": 1, "teacher": 2, "codes": 1, "stage": 2, "evaluation": 1}
    assert all(result["provenance"]["device"] == "cpu" for result in results.values())
    assert not any(list((tmp_path / name).iterdir()) for name in ("work", "locks", "failures"))


@pytest.mark.slow
def test_the_reason_of_one_of_two_is_in_the_store_and_on_the_page(tmp_path: Path) -> None:
    done = run_in_two(tmp_path, str(Path(__file__).with_name("failing_share.py")))
    assert done.returncode == 1
    reason = "process 1 of 2: ValueError: image 7 cannot be read"
    (failure,) = (tmp_path / "failures").iterdir()
    assert failure.name.startswith("teacher-")
    assert json.loads(failure.read_text())["reason"] == reason
    assert reason in (tmp_path / "report" / "figure8.html").read_text()
    # Both processes say so, the first after its launcher's SIGTERM.
    last = f"run: teacher: {reason}; the processes lost contact, so the run ends"
    assert done.stderr.splitlines().count(last) == 2
    assert not list((tmp_path / "locks").iterdir())
