"""A worker of a study as a job, with a stand-in for the study; `tests/slurm` has the real one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from experiments.executors import study_job
from experiments.executors.job import STOPPED, JobError
from experiments.executors.stop import INTERRUPTED, JOB_SIGNALS, PARENT
from experiments.executors.study_job import StudyJob


@pytest.fixture(autouse=True)
def handlers_are_restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(PARENT, "")
    before = {number: signal.getsignal(number) for number in JOB_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def requeued(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    jobs: list[str] = []
    monkeypatch.setattr(study_job, "requeue", lambda: jobs.append(os.environ["SLURM_JOB_ID"]))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    return jobs


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def end_with(code: int) -> None:
        monkeypatch.setattr(study_job, "_run_command", lambda arguments: code)

    return end_with


def job(max_requeues: int = 3) -> StudyJob:
    return StudyJob(arguments=("study", "sampling"), minutes=9, notice_seconds=60, max_requeues=max_requeues)


def test_a_finished_study_ends_the_job(ending: Callable[[int], None], requeued: list[str]) -> None:
    ending(0)
    job()()
    assert requeued == []


def test_a_stopped_study_goes_back_into_the_queue(ending: Callable[[int], None], requeued: list[str]) -> None:
    ending(INTERRUPTED)
    with pytest.raises(SystemExit) as end:
        job()()
    assert end.value.code == STOPPED
    assert requeued == ["12"]


def test_a_study_that_is_stopped_too_often_fails_the_job(
    ending: Callable[[int], None], requeued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    ending(INTERRUPTED)
    with pytest.raises(JobError, match="stopped 4 times; max_requeues is 3"):
        job(max_requeues=3)()
    assert requeued == []


def test_slurms_notices_become_one_signal_that_commands_listen_to(
    requeued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[int] = []

    def listen(arguments: tuple[str, ...]) -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
        return 0

    monkeypatch.setattr(study_job, "_run_command", listen)
    job()()
    assert heard == [signal.SIGTERM]


def test_the_command_is_the_real_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JobError, match="exit code 2"):
        StudyJob(arguments=("study", "samplin"), minutes=9, notice_seconds=60, max_requeues=0)()
    assert "sampling" in capsys.readouterr().err
