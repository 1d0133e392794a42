"""The local executor: a fixed number of workers on this machine.

Each worker is a process that imports the libraries once and makes one artifact after another. The workers
share the cores, and each gets one of the GPUs, if there are any. If a worker dies, the artifact that it was
making fails, and another worker takes its place.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments import artifacts
from experiments.artifacts import Artifact
from experiments.executors.events import Event, Failed, Finished, Listener, Preparing, Progress, Started
from experiments.executors.ledger import Submission, new_submission
from experiments.executors.process import VISIBLE_GPUS, cores, threads_of, visible_gpus
from experiments.executors.stop import Interrupted, Stop
from experiments.executors.work import Remaining
from experiments.executors.worker import NO_STORE
from experiments.requests import StoredRequest
from experiments.store import Store, StoreError, locks

POLL_SECONDS = 0.2


class WorkerError(RuntimeError):
    """Workers exit before they compute anything; the message quotes one of their logs."""


def run_locally(
    request: StoredRequest, store: Store, workers: int, listeners: Iterable[Listener], stop: Stop
) -> dict[Artifact, str]:
    """Make all artifacts of `request` in `workers` processes; returns the reasons of failed or blocked ones.

    Raises:
        Interrupted: a signal asked to stop; every worker has written a checkpoint.
        StoreError: the store cannot be written to.
        WorkerError: no worker can start.
    """
    found = artifacts.load(request.artifacts).values()
    for artifact in found:
        store.clear_failure(artifact)  # a new run tries again
    pool = WorkerPool(store, new_submission(store, request), workers, request.threads)
    watch = Watch(found, store, listeners)
    with stop.on_signals():
        try:
            while watch.look():
                if stop.requested():
                    raise Interrupted("stopped; the same command resumes the run")
                pool.tend(watch.remaining)
                time.sleep(POLL_SECONDS)
        finally:
            pool.stop()
    return watch.failures


def default_workers(threads: int | None) -> int:
    """One worker per GPU or, without GPUs, as many as the cores allow with `threads` each."""
    return max(1, len(visible_gpus()) or cores() // (threads or cores()))


class Watch:
    """Watches the store and reports changes to the listeners."""

    def __init__(self, artifacts: Iterable[Artifact], store: Store, listeners: Iterable[Listener]):
        self._store, self._listeners = store, list(listeners)
        self._remaining = Remaining((each for each in artifacts if not store.is_done(each)), store)
        self._reported: dict[Artifact, float] = {}
        """For each artifact that has started, when the last reported progress was written."""

    @property
    def failures(self) -> dict[Artifact, str]:
        """The reasons why artifacts failed or are blocked."""
        return self._remaining.failures

    @property
    def remaining(self) -> list[Artifact]:
        """The artifacts that are neither finished nor failed nor blocked."""
        return list(self._remaining.artifacts)

    def look(self) -> bool:
        """Look once; returns False when everything is settled."""
        for artifact in self._remaining.settle():
            if artifact in self.failures:
                self._tell(Failed(artifact, self.failures[artifact]))
            else:
                self._report_start(artifact)
                if result := self._store.result(artifact):
                    self._tell(Finished(artifact, result))
        for artifact in self._remaining.artifacts:
            if self._store.lock_path(artifact).exists():
                self._report_start(artifact)
                self._report_progress(artifact)
        return bool(self._remaining.artifacts)

    def _report_start(self, artifact: Artifact) -> None:
        if artifact not in self._reported:
            self._reported[artifact] = 0.0
            self._tell(Started(artifact))

    def _report_progress(self, artifact: Artifact) -> None:
        progress = self._store.progress(artifact)
        if progress and progress["updated"] > self._reported[artifact]:
            self._reported[artifact] = progress["updated"]
            if what := progress.get("preparing"):
                self._tell(Preparing(artifact, what))
                return
            self._tell(Progress(artifact, progress["done"], progress["total"], progress["remaining_seconds"]))

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


class WorkerPool:
    """Starts the workers, replaces dead ones and stops them."""

    def __init__(self, store: Store, submission: Submission, size: int, threads: int | None):
        self._store, self._submission = store, submission
        self._threads = threads_of(threads, max(1, cores() // size))
        self._gpus = visible_gpus()
        self._places: list[subprocess.Popen[bytes] | None] = [None] * size
        self._logs: dict[int, Path] = {}
        """Log files of all workers by pid, including dead ones."""
        self._fruitless = 0
        """Number of consecutive workers that died before making anything."""
        self._since = time.time()

    def tend(self, remaining: list[Artifact]) -> None:
        """Replace dead workers, and record failures of the artifacts that they were making.

        Raises:
            StoreError: a worker reports that the store cannot be used.
            WorkerError: workers die before they make anything.
        """
        for place, worker in enumerate(self._places):
            if worker is None:
                self._places[place] = self._start(place)
            elif worker.poll() == NO_STORE:
                raise StoreError(_tail(self._logs[worker.pid], 1))
            elif worker.poll():
                self._places[place] = None
                self._record_crash(worker, remaining)
        self._release_locks_of_others(remaining)

    def stop(self) -> None:
        """Ask all workers to write a checkpoint and stop, and wait until they have."""
        workers = [worker for worker in self._places if worker is not None]
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": str(self._threads)}
        if self._gpus:
            environment[VISIBLE_GPUS] = self._gpus[place % len(self._gpus)]
        command = [sys.executable, "-u", "-m", "experiments.executors.worker"]
        command += [str(self._store.root), str(self._submission.request), str(os.getpid())]
        path = self._submission.logs / f"worker-{len(self._logs)}.log"
        with path.open("wb") as output:
            # In its own session the terminal's Ctrl-C does not reach the worker; `stop` asks it, once.
            worker = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._logs[worker.pid] = path
        return worker

    def _record_crash(self, worker: subprocess.Popen[bytes], remaining: list[Artifact]) -> None:
        """Record a failure for the artifact that a crashed worker was computing."""
        blamed = False
        for artifact in remaining:
            path = self._store.lock_path(artifact)
            owner = locks.read(path)
            if owner is None or owner.get("pid") != worker.pid or not self._is_worker(owner):
                continue
            if not self._store.is_done(artifact):
                reason = "the process that computed it was killed (by hand, or because memory ran out)"
                failure = {"reason": reason, "traceback": _tail(self._logs[worker.pid])}
                self._store.record_failure(artifact, failure)
            path.unlink(missing_ok=True)
            blamed = True
        self._fruitless = 0 if blamed else self._fruitless + 1
        if self._fruitless > 2 * len(self._places) and remaining:
            raise WorkerError(
                f"workers exit before they compute anything: {_tail(self._logs[worker.pid], 1)}"
            )

    def _release_locks_of_others(self, remaining: list[Artifact]) -> None:
        """Release locks held by dead processes of other runs, because workers never take over a lock."""
        for artifact in remaining:
            path = self._store.lock_path(artifact)
            owner = locks.read(path)
            if owner is not None and not self._is_worker(owner) and locks.is_stale(path):
                with self._store.lock(artifact):
                    pass

    def _is_worker(self, owner: dict[str, Any]) -> bool:
        """Whether a lock belongs to one of these workers rather than an older process with the same pid."""
        return (
            owner.get("host") == socket.gethostname()
            and owner.get("started", 0.0) >= self._since
            and owner.get("pid") in self._logs
        )


def _tail(path: Path, lines: int = 40) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""
