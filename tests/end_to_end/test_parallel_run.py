"""`torchrun -m experiments run`: two processes make one store, as one would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_processes_run_a_table(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "experiments", "run", "figure8", "--profile", "smoke", "--yes"]
    done = subprocess.run(
        [*command, "--store", str(tmp_path)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("all tables:") == 1
    results = {
        path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("artifacts/*/result.json")
    }
    processes = {
        name.partition("-")[0]: result["provenance"]["processes"] for name, result in results.items()
    }
    assert processes == {"classifier": 1, "teacher": 2, "codes": 1, "stage": 2, "evaluation": 1}
    assert all(result["provenance"]["device"] == "cpu" for result in results.values())
    assert not any(list((tmp_path / name).iterdir()) for name in ("work", "claims", "failures"))
