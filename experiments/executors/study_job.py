"""Workers of a study as cluster jobs: each is the study's own command, and all share its journal."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import submitit

from experiments.executors.job import STOPPED, JobError
from experiments.executors.preflight import check_limits, try_out
from experiments.executors.queue import SlurmError, requeue
from experiments.executors.resources import Cluster
from experiments.executors.sbatch import job_executor, job_setup, refusal
from experiments.executors.snapshot import take_snapshot
from experiments.running.stop import INTERRUPTED
from experiments.store import Store

KIND = "stage"
"""Of whose resources a worker has one process's share: a trial trains, and evaluates what it trained."""


@dataclass(frozen=True, kw_only=True)
class StudyJob:
    """Called in the job; pickled when it is submitted, so it holds nothing but words."""

    arguments: tuple[str, ...]
    """Of `python -m experiments`."""
    minutes: int
    """How long one attempt may take."""
    notice_seconds: int
    """How long before that it is told to stop."""
    max_requeues: int

    def __call__(self) -> None:
        """Do trials until the study's are over; told to stop, the job goes back into the queue.

        Raises:
            JobError: the study gave no number, its input is wrong, or the job was stopped too often.
        """
        told = threading.Event()

        def tell_to_stop(number: int = 0, frame: FrameType | None = None) -> None:
            """What a command listens to is SIGTERM: once, because the second one would end it at once."""
            if not told.is_set():
                told.set()
                os.kill(os.getpid(), signal.SIGTERM)

        for notice in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(notice, tell_to_stop)
        # Slurm's notice is lost on a process that has just started: watch the clock as well.
        clock = threading.Timer(60 * self.minutes - self.notice_seconds, tell_to_stop)
        clock.daemon = True
        clock.start()
        code = _run_command(self.arguments)
        clock.cancel()
        if code == INTERRUPTED:
            restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
            if restarts >= self.max_requeues:
                raise JobError(f"stopped {restarts + 1} times; max_requeues is {self.max_requeues}")
            requeue()
            sys.exit(STOPPED)
        if code:
            raise JobError(f"the study ended with exit code {code}; the reason stands above")


def submit_workers(
    arguments: Sequence[str], workers: int, store: Store, folder: Path, cluster: Cluster, threads: int | None
) -> list[tuple[str, Path]]:
    """Queue `workers` jobs, each of them `python -m experiments` with `arguments`; returns ids and logs.

    Raises:
        SlurmError: Slurm would refuse such a job, or does; nothing is queued.
    """
    resources = cluster.kinds[KIND].of_one_process()
    check_limits(KIND, resources)
    setup = job_setup(take_snapshot(store.root / "snapshots"), resources, threads)
    executor = job_executor(folder / "jobs", resources, setup, dependencies=[], name=folder.name)
    try_out(KIND, executor._make_submission_file_text("true", ""))
    job = StudyJob(
        arguments=tuple(arguments),
        minutes=int(resources.time),
        notice_seconds=resources.notice_seconds,
        max_requeues=resources.max_requeues,
    )
    try:
        queued = executor.submit_array([job] * workers) if workers > 1 else [executor.submit(job)]
    except submitit.core.utils.FailedJobError as error:
        raise SlurmError(f"Slurm refuses a worker of {folder.name}: {refusal(error)}") from None
    return [(each.job_id, Path(each.paths.stdout)) for each in queued]


def _run_command(arguments: Sequence[str]) -> Any:
    """`python -m experiments` within this process, which is the one that Slurm signals."""
    sys.argv = ["experiments", *arguments]
    try:
        runpy.run_module("experiments", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    return 0
