"""Processes that torchrun starts exchange tensors on their devices, and train as one process does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.gpu

HERE = Path(__file__).parent
TRAINING = HERE.parent / "training" / "parallel_worker.py"
STEPS = 4


def assert_torchrun_succeeds(processes: int, name: str, script: Path, *arguments: object) -> None:
    if name == "cuda" and torch.cuda.device_count() < processes:
        pytest.skip(f"{processes} GPUs are needed, there is {torch.cuda.device_count()}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = os.environ | {"PYTHONPATH": path, "WORKER_DEVICE": name, "OMP_NUM_THREADS": "1"}
    line = [*command, str(script), *map(str, arguments)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("processes", [1, 2])
def test_every_exchange(name: str, processes: int) -> None:
    assert_torchrun_succeeds(processes, name, HERE / "exchange_worker.py", name)


@pytest.mark.parametrize("stage", ["alignment", "fine-tuning"])
def test_two_processes_have_the_losses_of_one(tmp_path: Path, name: str, stage: str) -> None:
    curves = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        assert_torchrun_succeeds(processes, name, TRAINING, stage, folder, STEPS)
        curves.append(json.loads((folder / stage / "curve.json").read_text()))
    assert len(curves[0]) == STEPS
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-6)
