"""A store, stand-ins for Slurm's programs, and the fakes of this folder made importable."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from experiments.store import Store

SQUEUE = "12|RUNNING|None|n1\n13_0|PENDING|Priority|\n13_1|COMPLETED|None|n1\n"
SACCT = """\
13_1|COMPLETED|0:0|n1
13_1.0|COMPLETED|0:0|n1
14|FAILED|1:0|n1
14.batch|FAILED|1:0|n1
14.0|OUT_OF_MEMORY|0:125|n1
15|CANCELLED by 1000|0:0|n2
16|FAILED|9:0|n1
16.0|CANCELLED|0:9|n1
17|TIMEOUT|0:0|n1
17.0|CANCELLED|0:15|n1
18|NODE_FAIL|1:0|n3
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`squeue` and `sacct` that print what the files beside them say."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("squeue", SQUEUE), ("sacct", SACCT)):
        (folder / f"{name}.txt").write_text(text)
        (folder / name).write_text(f"#!/bin/sh\ncat {folder}/{name}.txt\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder
