"""The paper's model trains on a CPU: SFTok-B at 256x256, a batch of 2, in less than 12 GiB."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_sftok_b_runs_and_takes_a_stage_2_step_within_12_gib() -> None:
    # In a process of its own: the peak of a process never falls again.
    command = [sys.executable, "-m", "sftok.training.measure", "sftok-b", "--batch-size", "2", "--steps", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["parameters"] > 170_000_000
    assert 2 * 2**30 < found["peak_bytes"] < 12 * 2**30
