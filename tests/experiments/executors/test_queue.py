"""What Slurm says about jobs, from stand-ins for its programs; `tests/slurm` has the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.executors import queue
from experiments.executors.queue import SlurmError, job_states


def test_states_come_from_the_queue_and_then_from_accounting(programs: Path) -> None:
    states = job_states(["12", "13_0", "13_1", "14", "15", "16", "17", "18", "99"])
    assert {job: state.state for job, state in states.items()} == {
        **{"12": "RUNNING", "13_0": "PENDING", "13_1": "COMPLETED", "14": "OUT_OF_MEMORY", "15": "CANCELLED"},
        **{"16": "FAILED", "17": "TIMEOUT", "18": "NODE_FAIL", "99": "MISSING"},
    }
    assert states["13_0"].reason == "Priority"
    assert states["15"].user == "1000"
    assert states["16"].signal == 9
    assert [job for job, state in states.items() if state.live] == ["12", "13_0"]


def test_accounting_knows_better_than_the_controller(programs: Path) -> None:
    (programs / "squeue.txt").write_text("14|FAILED|NonZeroExitCode|n1\n")
    assert job_states(["14"])["14"].state == "OUT_OF_MEMORY"


def test_without_accounting_a_job_that_is_gone_is_unknown(programs: Path) -> None:
    (programs / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    assert job_states(["14"])["14"].state == "UNKNOWN"


def test_without_accounting_the_controller_counts(programs: Path) -> None:
    (programs / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    (programs / "squeue.txt").write_text("14|CANCELLED|None|n1\n")
    assert job_states(["14"])["14"].state == "CANCELLED"


def test_an_accounting_that_does_not_answer_is_an_error(programs: Path) -> None:
    (programs / "sacct").write_text("#!/bin/sh\necho 'sacct: error: Connection refused' >&2; exit 1\n")
    with pytest.raises(SlurmError, match="Connection refused"):
        job_states(["14"])


def test_array_tasks_that_never_started_share_a_line(programs: Path) -> None:
    (programs / "sacct.txt").write_text(
        "20_[0-1,4%3]|CANCELLED|0:0|None assigned\n20_2|COMPLETED|0:0|n1\n21_[7]|CANCELLED|0:0|\n"
    )
    states = job_states(["20_0", "20_1", "20_2", "20_4", "21_7", "20_3"])
    assert {job: state.state for job, state in states.items()} == {
        **dict.fromkeys(["20_0", "20_1", "20_4", "21_7"], "CANCELLED"),
        **{"20_2": "COMPLETED", "20_3": "MISSING"},
    }


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "12_3"),
        ({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "12_0"),
    ],
)
def test_a_job_requeues_itself_and_not_its_array(
    programs: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], job: str
) -> None:
    scontrol = programs / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {programs}/asked; echo JobState=RUNNING\n')
    scontrol.chmod(0o755)
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    queue.requeue()
    assert (programs / "asked").read_text().splitlines() == [f"show job {job}", f"requeue {job}"]


def test_a_controller_that_does_not_answer_is_an_error(programs: Path) -> None:
    (programs / "squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Connection refused' >&2; exit 1\n"
    )
    with pytest.raises(SlurmError, match="Connection refused"):
        job_states(["14"])


def test_slurm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlurmError, match="squeue is not installed here"):
        job_states(["14"])


def test_ids_of_one_array_are_asked_for_once() -> None:
    assert list(queue._batches({"12_1", "12_2", "3"})) == ["3,12"]
