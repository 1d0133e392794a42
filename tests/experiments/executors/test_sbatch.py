"""What is refused before anything is queued, and how jobs are queued."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from making import artifact

from experiments.executors import sbatch
from experiments.executors.queue import SlurmError
from experiments.executors.resources import load_cluster


@pytest.mark.parametrize(
    ("device", "text", "message"),
    [
        ("cuda", "gpus = 0", "gpus = 0 for 8 processes"),
        ("cuda", "gpus = 4", "gpus = 4 for 8 processes on each machine"),
        (
            "cuda",
            "tasks = 3\nnodes = 2",
            r"nodes = 2 of tasks = 3 cannot share a batch of 64 .*\(a\)",
        ),
        ("cpu", "gpus = 0\ntasks = 5", "tasks = 5 cannot share"),
        ("cpu", "gpus = 0", None),
        ("cuda", "gpus = 4\ntasks = 4\nnodes = 2", None),
    ],
)
def test_processes_that_could_only_fail_are_refused(
    tmp_path: Path, device: str, text: str, message: str | None
) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(f"[kind.stage]\n{text}")
    stage = artifact("stage", config={"batch": 64}, label="a", device=device)
    resources = load_cluster(path, "paper").kinds["stage"]
    if message is None:
        sbatch.check_processes(stage, resources)
    else:
        with pytest.raises(SlurmError, match=message):
            sbatch.check_processes(stage, resources)


@pytest.mark.parametrize(
    ("text", "limit"), [("infinite", None), ("1:00", 1), ("30", 1), ("1:30:00", 90), ("2-00:00:00", 2880)]
)
def test_partition_limits(text: str, limit: int | None) -> None:
    assert sbatch._limit(text) == limit


def test_the_failure_of_one_process_ends_the_job(tmp_path: Path) -> None:
    resources = load_cluster(None, "paper").kinds["stage"]
    executor = sbatch.job_executor(tmp_path, resources, setup=[], dependencies=[], name="stage")
    (command,) = (
        line
        for line in executor._make_submission_file_text("true", "").splitlines()
        if line.startswith("srun")
    )
    assert "--kill-on-bad-exit=1" in command


def options_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "cluster.toml"
    path.write_text(f"[default]\n{text}")
    resources = load_cluster(path, "paper").kinds["evaluation"]
    executor = sbatch.job_executor(tmp_path, resources, setup=[], dependencies=[], name="evaluation")
    script = executor._make_submission_file_text("true", "")
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]


def test_other_options_of_the_cluster_file_replace_its_own(tmp_path: Path) -> None:
    assert "--gpus-per-node=1" in options_of(tmp_path, "gpus = 1")
    options = options_of(
        tmp_path, 'extra = { gpus-per-node = "a100:4", no-requeue = true, exclusive = false }'
    )
    assert [each for each in options if "gpus-per-node" in each] == ["--gpus-per-node=a100:4"]
    assert "--no-requeue" in options
    assert "--requeue" not in options
    assert not any("exclusive" in each for each in options)


def test_memory_can_be_left_to_the_cluster(tmp_path: Path) -> None:
    assert any(each.startswith("--mem=") for each in options_of(tmp_path, ""))
    assert not any(each.startswith("--mem") for each in options_of(tmp_path, 'memory = ""'))


def test_jobs_do_not_inherit_what_describes_the_job_that_submits_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "4096")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with sbatch.outside_of_jobs():
        assert os.environ["SLURM_MEM_PER_CPU"] == "4096", "the user's own choice"
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    with sbatch.outside_of_jobs():
        assert "SLURM_MEM_PER_CPU" not in os.environ
        assert os.environ["SLURM_CONF"] == "/etc/slurm.conf"
    assert os.environ["SLURM_MEM_PER_CPU"] == "4096"
