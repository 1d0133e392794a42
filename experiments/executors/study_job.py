"""Workers of a study as cluster jobs; each runs the study's command, and all share its journal."""

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

from experiments.executors.job import Job, JobError
from experiments.executors.queue import requeue
from experiments.executors.resources import Cluster
from experiments.executors.sbatch import check_kind, job_executor, job_setup, queue_jobs
from experiments.executors.snapshot import take_snapshot
from experiments.executors.stop import INTERRUPTED, PARENT
from experiments.executors.worker import STOPPED
from experiments.store import Store

KIND = "stage"
"""A worker gets the resources of one process of this kind, because a trial trains and evaluates."""


@dataclass(frozen=True, kw_only=True)
class StudyJob(Job):
    """Called in the job."""

    arguments: tuple[str, ...]
    """Arguments of `python -m experiments`."""

    def __call__(self) -> None:
        """Run trials until the study is finished; requeue the job when told to stop.

        Raises:
            JobError: the study produced no number, its input is wrong, or the job was stopped too often.
        """
        told = threading.Event()

        def tell_to_stop(number: int = 0, frame: FrameType | None = None) -> None:
            """Send SIGTERM, which commands handle, only once: a second one would kill the command."""
            if not told.is_set():
                told.set()
                os.kill(os.getpid(), signal.SIGTERM)

        for notice in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(notice, tell_to_stop)
        os.environ[PARENT] = str(os.getppid())
        with self.clock(tell_to_stop):
            code = _run_command(self.arguments)
        if code == INTERRUPTED:
            if reason := self.why_not_requeue():
                raise JobError(reason)
            requeue()
            sys.exit(STOPPED)
        if code:
            raise JobError(f"the study ended with exit code {code}; see the reason above")


def submit_workers(
    arguments: Sequence[str], workers: int, store: Store, folder: Path, cluster: Cluster, threads: int | None
) -> list[tuple[str, Path]]:
    """Queue `workers` jobs that run `python -m experiments` with `arguments`; returns ids and log files.

    Raises:
        SlurmError: Slurm refuses such a job; nothing is queued.
    """
    resources = cluster.kinds[KIND].of_one_process()
    check_kind(KIND, resources, folder / "jobs")
    setup = job_setup(take_snapshot(store.root / "snapshots"), resources, threads)
    executor = job_executor(folder / "jobs", resources, setup, dependencies=[], name=folder.name)
    job = StudyJob(arguments=tuple(arguments), **StudyJob.limits(resources))
    queued = queue_jobs(executor, [job] * workers, f"a worker of {folder.name}")
    return [(each.job_id, Path(each.paths.stdout)) for each in queued]


def _run_command(arguments: Sequence[str]) -> Any:
    """Run `python -m experiments` in this process, because this is the one that Slurm signals."""
    sys.argv = ["experiments", *arguments]
    try:
        runpy.run_module("experiments", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    return 0
