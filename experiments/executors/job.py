"""A cluster job, which makes one artifact of a stored request, given by name.

It depends only on the store and the code snapshot. When told to stop (preempted, or out of time), it writes a
checkpoint and requeues itself; the next attempt resumes and produces the same bits. submitit's own requeue (a
`checkpoint` method) is unsuitable, because it checkpoints inside the signal handler, in the middle of a step.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypedDict

from submitit.helpers import TorchDistributedEnvironment

from experiments.artifacts import Artifact
from experiments.executors.events import Event, Failed, Finished, Preparing, Progress, Started, Waiting
from experiments.executors.inline import Runner, leading
from experiments.executors.process import prepare_torch
from experiments.executors.queue import requeue
from experiments.executors.resources import Resources
from experiments.executors.stop import JOB_SIGNALS, Interrupted, Stop
from experiments.executors.work import Work
from experiments.executors.worker import STOPPED
from experiments.store import Store, saved_files
from sftok.distributed import World, joined

SLACK_SECONDS = 90
"""Tolerance for Slurm's notice, which may come a minute early, and for the start of the process."""

FIRST_PORT, PORTS = 20_000, 12_000
"""The master's port is `FIRST_PORT` plus the job's id modulo `PORTS`, which differs for jobs on one node.

Linux gives ports from 32,768 to anyone who asks for any.
"""

LINE_EVERY_SECONDS = 60.0


class JobError(RuntimeError):
    """The artifact could not be made; the reason is also in the store."""


class Limits(TypedDict):
    """The fields of `Job`."""

    minutes: int
    notice_seconds: int
    max_requeues: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """Fields of every job, which is pickled for submission and therefore holds only names and numbers."""

    minutes: int
    """Time limit of one attempt."""
    notice_seconds: int
    """How long before the time limit Slurm tells the job to stop."""
    max_requeues: int

    @staticmethod
    def limits(resources: Resources) -> Limits:
        """The fields of this class."""
        return Limits(
            minutes=int(resources.time),
            notice_seconds=resources.notice_seconds,
            max_requeues=resources.max_requeues,
        )

    @contextlib.contextmanager
    def clock(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` when the notice is due, because Slurm's is lost if the process has just started."""
        timer = threading.Timer(60 * self.minutes - self.notice_seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def why_not_requeue(self) -> str | None:
        """The reason not to requeue the job, if it was stopped too often."""
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        if restarts < self.max_requeues:
            return None
        return f"stopped {restarts + 1} times; max_requeues is {self.max_requeues}"


@dataclass(frozen=True, kw_only=True)
class ArtifactJob(Job):
    """Called in the job."""

    store: Path
    request: Path
    artifact: str

    def __call__(self) -> None:
        """Make the artifact.

        Raises:
            JobError: the artifact cannot be made.
            WorldBroken: the processes of the job lost contact.
            SystemExit: the job was told to stop, and is back in the queue unless Slurm has ended it.
        """
        started = time.time()
        if "SLURM_PROCID" in os.environ:
            os.environ["MASTER_PORT"] = str(FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS)
            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        work, store, stop = Work(self.request), Store(self.store), Stop()
        artifact = work.artifacts[self.artifact]
        with (
            self.clock(stop.request),
            stop.on_signals(JOB_SIGNALS, second_kills=False),
            joined(artifact.device) as world,
        ):
            reason = self._make(artifact, work, store, stop, world, started)
        if reason is not None:
            raise JobError(reason)

    def _make(
        self, artifact: Artifact, work: Work, store: Store, stop: Stop, world: World, started: float
    ) -> str | None:
        prepare = functools.partial(prepare_torch, work.threads)
        runner = Runner(store, work.load_data(artifact), [print_event()], stop, world=world, prepare=prepare)
        if not world.is_first:
            runner.follow([artifact])
            return None
        try:
            with leading(world):
                self._require_inputs(artifact, store)
                return runner.ensure(artifact)
        except Interrupted as interruption:
            print(f"{interruption}", flush=True)
            self._requeue(artifact, store, started)

    def _require_inputs(self, artifact: Artifact, store: Store) -> None:
        missing = [upstream for upstream in artifact.inputs.values() if not store.is_done(upstream)]
        if missing and not store.is_done(artifact):
            reason = f"its input {missing[0].label} ({missing[0].name}) is not in the store {store.root}"
            self._give_up(artifact, store, reason)

    def _requeue(self, artifact: Artifact, store: Store, started: float) -> NoReturn:
        """Requeue the job, unless it would never finish."""
        reason = self.why_not_requeue()
        out_of_time = time.time() - started >= 60 * self.minutes - self.notice_seconds - SLACK_SECONDS
        if reason is None and out_of_time and not _has_saved_since(started, store.work_folder(artifact)):
            reason = (
                f"out of time (the job was given {self.minutes} min), and it would start over: "
                f"raise time of kind {artifact.kind}"
            )
        if reason is not None:
            self._give_up(artifact, store, reason)
        requeue()
        sys.exit(STOPPED)

    def _give_up(self, artifact: Artifact, store: Store, reason: str) -> NoReturn:
        store.record_failure(artifact, {"reason": reason, "traceback": ""})
        raise JobError(reason)


def _has_saved_since(started: float, folder: Path) -> bool:
    """Whether this attempt saved something to resume from."""
    return any(path.stat().st_mtime >= started for path in saved_files(folder))


def print_event() -> Callable[[Event], None]:
    """A listener that writes the job's log as lines with the time of day; progress appears once a minute."""
    printed = time.monotonic()

    def listen(event: Event) -> None:
        nonlocal printed
        match event:
            case Started(artifact):
                text = f"{artifact.label} ({artifact.name}): started"
            case Progress(artifact, done, total, remaining):
                if time.monotonic() - printed < LINE_EVERY_SECONDS:
                    return
                left = "" if remaining is None else f", {remaining / 60:.0f} min left"
                text = f"{artifact.label}: {done} of {total}{left}"
            case Preparing(artifact, what):
                text = f"{artifact.label}: {what}"
            case Finished(artifact, result):
                text = f"{artifact.label}: done in {result.provenance.seconds:.0f} s"
            case Failed(artifact, reason):
                text = f"{artifact.label}: FAILED: {reason}"
            case Waiting(artifact, owner):
                text = f"{artifact.label}: waiting for process {owner['pid']} on {owner['host']}"
        printed = time.monotonic()
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)

    return listen
