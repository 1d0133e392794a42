"""How long a person waits for the commands that make nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

LINES = {
    "list": "list",
    "status": "status table4",
    "results": "results table4",
    "verdicts": "verdicts table4",
    "show": "show table4",
    "dry-run": "run table4 --profile smoke --seeds 2 --dry-run",
    "all-done": "run table4 --profile smoke",
}


def experiments(store: Path, line: str) -> None:
    where = [] if line in ("list", "show table4") else ["--store", str(store)]
    command = [sys.executable, "-m", "experiments", *line.split(), *where]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A store in which table4 is done."""
    if request.config.getoption("benchmark_disable"):
        pytest.skip("nothing to check but the time")
    path = tmp_path_factory.mktemp("store")
    experiments(path, "run table4 --profile smoke")
    return path


@pytest.mark.parametrize("name", LINES)
def test_command(benchmark: BenchmarkFixture, store: Path, name: str) -> None:
    benchmark.pedantic(experiments, (store, LINES[name]), rounds=3)
