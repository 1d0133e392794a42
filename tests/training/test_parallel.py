"""Two processes train as one does with the same batches: the same losses up to rounding, and they resume."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sftok.weights import load_tensors

WORKER = Path(__file__).with_name("parallel_worker.py")
STEPS = 6


def start(world: int, *arguments: object) -> list[int]:
    """Run the worker in `world` processes, as a launcher would; returns their exit codes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = []
    for rank in range(world):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        helpers = f"{WORKER.parents[1]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        place["PYTHONPATH"] = helpers.rstrip(os.pathsep)
        environment = {**os.environ, **place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, str(WORKER), *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment))
    return [process.wait() for process in processes]


def curve(folder: Path) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = json.loads((folder / "curve.json").read_text())
    return lines


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    assert start(1, "all", folder, STEPS) == [0]
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    assert start(2, "all", folder, STEPS) == [0, 0]
    return folder


@pytest.mark.parametrize(
    "stage", ["teacher", "warm-up", "alignment", "half-replaced", "fine-tuning", "generator"]
)
def test_two_processes_have_the_losses_of_one(alone: Path, together: Path, stage: str) -> None:
    expected, found = curve(alone / stage), curve(together / stage)
    assert len(expected) == STEPS
    for one, two in zip(expected, found, strict=True):
        norms = {name for name in one if name.endswith("grad_norm")}
        losses = one.keys() - norms
        assert two.keys() == one.keys()
        assert {name: two[name] for name in losses} == pytest.approx(
            {name: one[name] for name in losses}, rel=1e-5, abs=1e-7
        )
        # A norm gathers the rounding of all gradients: an AMD EPYC is within 1e-5, an Intel Xeon just not.
        assert {name: two[name] for name in norms} == pytest.approx(
            {name: one[name] for name in norms}, rel=3e-5
        )


def test_tails_are_drawn_for_the_whole_batch_in_stage_3(alone: Path, together: Path) -> None:
    expected, found = curve(alone / "fine-tuning-of-tails"), curve(together / "fine-tuning-of-tails")
    assert len(expected) == STEPS
    for one, two in zip(expected, found, strict=True):
        losses = {name for name in one if name.endswith("loss")}
        assert "reconstruction_loss" in losses
        assert {name: two[name] for name in losses} == pytest.approx(
            {name: one[name] for name in losses}, rel=1e-5, abs=1e-7
        )


def test_both_optimizers_of_stage_3_were_compared(together: Path) -> None:
    assert {"gan_loss", "discriminator_lecam_loss", "discriminator_grad_norm"} <= set(
        curve(together / "fine-tuning")[-1]
    )


@pytest.mark.parametrize("kill_at", [1, 5])
def test_a_killed_pair_goes_on_with_the_same_bits(tmp_path: Path, together: Path, kill_at: int) -> None:
    codes = start(2, "fine-tuning", tmp_path, STEPS, kill_at)
    assert codes[0] == -9
    assert codes[1] != 0
    assert start(2, "fine-tuning", tmp_path, STEPS) == [0, 0]
    assert curve(tmp_path / "fine-tuning") == curve(together / "fine-tuning")
    expected, _ = load_tensors(together / "fine-tuning" / "checkpoint.safetensors")
    found, _ = load_tensors(tmp_path / "fine-tuning" / "checkpoint.safetensors")
    assert all(found[name].equal(value) for name, value in expected.items())
