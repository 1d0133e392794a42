"""Carries a plan out by a bounded number of workers on this machine, through submitit's local executor.

Each worker is one process that imports the libraries once and makes one artifact after another. The cores,
and the GPUs if there are any, are shared out between them. A worker that dies costs the artifact that it was
making; another one takes its place.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import submitit
import torch

from experiments import claims
from experiments.artifacts import Artifact
from experiments.executors.ledger import Submission, new_submission
from experiments.executors.worker import Worker, WorkerError
from experiments.planning.plan import Plan
from experiments.planning.requests import Request
from experiments.profiles.base import Profile
from experiments.running.computing import threads_of, visible_gpus
from experiments.running.listener import Listener
from experiments.running.stop import Interrupted, Stop
from experiments.store import Store, StoreError, read_json

POLL_SECONDS, REMIND_SECONDS = 0.2, 2.0
FOREVER_MINUTES = 10 * 365 * 24 * 60
MAKERS = "experiments.tasks:find_maker"


def run_locally(
    request: Request,
    store: Store,
    workers: int,
    listeners: list[Listener],
    stop: Stop,
    makers: str = MAKERS,
) -> dict[Artifact, str]:
    """Make every artifact of the plan; returns the reasons of those that failed or were blocked.

    Raises:
        Interrupted: a signal asked to stop; every worker has checkpointed.
        StoreError: the store is full.
        WorkerError: no worker can start.
    """
    plan = request.plan
    _clear(plan, store)
    crew = Crew(store, new_submission(store, request), workers, plan.profile.threads, makers)
    watch = Watch(plan, store, listeners)
    with stop.on_signals():
        try:
            while watch.look():
                if stop.requested():
                    raise Interrupted("stopped; the same command goes on from there")
                crew.tend(watch.unfinished())
                time.sleep(POLL_SECONDS)
        finally:
            crew.dismiss()
    crew.complain()
    return watch.failures


class Watch:
    """Follows the store and tells the listeners what changed in it."""

    def __init__(self, plan: Plan, store: Store, listeners: list[Listener]):
        self._store, self._listeners = store, listeners
        self._open = [artifact for artifact in plan.artifacts if not store.is_done(artifact)]
        self._started: dict[Artifact, float] = {}
        """When the progress that was told last was noted."""
        self.failures: dict[Artifact, str] = {}

    def unfinished(self) -> list[Artifact]:
        """What is neither made nor failed nor blocked."""
        return list(self._open)

    def look(self) -> bool:
        """Look once; False when everything is over."""
        for artifact in list(self._open):
            if self._is_over(artifact):
                self._open.remove(artifact)
            else:
                self._follow(artifact)
        return bool(self._open)

    def _is_over(self, artifact: Artifact) -> bool:
        if self._store.is_done(artifact):
            self._tell_start(artifact)
            for listener in self._listeners:
                listener.finished(artifact, self._store.result(artifact) or {})
            return True
        blockers = [upstream for upstream in artifact.inputs.values() if upstream in self.failures]
        failure = self._store.failure(artifact)
        if not blockers and failure is None:
            return False
        reason = (
            f"blocked by {blockers[0].label} ({blockers[0].name})" if blockers else (failure or {})["reason"]
        )
        self.failures[artifact] = reason
        for listener in self._listeners:
            listener.failed(artifact, reason)
        return True

    def _follow(self, artifact: Artifact) -> None:
        if not self._store.claim_path(artifact).exists():
            return
        self._tell_start(artifact)
        progress = self._store.progress(artifact)
        if progress and progress["updated"] > self._started[artifact]:
            self._started[artifact] = progress["updated"]
            for listener in self._listeners:
                listener.advanced(
                    artifact, progress["done"], progress["total"], progress["remaining_seconds"]
                )

    def _tell_start(self, artifact: Artifact) -> None:
        if artifact not in self._started:
            self._started[artifact] = 0.0
            for listener in self._listeners:
                listener.started(artifact)


class Crew:
    """The workers: started, replaced when they die, told to stop."""

    def __init__(self, store: Store, submission: Submission, size: int, threads: int | None, makers: str):
        self._store, self._submission = store, submission
        self._threads = threads_of(threads, max(1, cores() // size))
        self._pids = submission.folder / "workers"
        self._pids.mkdir()
        self._places: list[submitit.LocalJob[str | None] | None] = [None] * size
        self._makers = makers
        self._fruitless = 0
        self._complaint: str | None = None
        self._since = time.time()

    def tend(self, unfinished: list[Artifact]) -> None:
        """Fill the empty places, after finding out what the dead were doing.

        Raises:
            StoreError: a worker says that the store is full.
            WorkerError: workers die without having made anything.
        """
        self.complain()
        for place, job in enumerate(self._places):
            if job is None:
                self._places[place] = self._start(place)
            elif job.done() and not self._ended_well(job):
                self._places[place] = None
                self._bury(job, unfinished)
        self._release_strangers(unfinished)

    def dismiss(self) -> None:
        """Ask all to checkpoint and stop, and wait for it."""
        jobs = [job for job in self._places if job is not None]
        for job in jobs:
            while not job.done():
                # Said again and again: submitit ignores it while a worker starts.
                for each in jobs:
                    if each._process is not None and not each.done():
                        each._process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    cast(subprocess.Popen[bytes], job._process).wait(REMIND_SECONDS)
            self._ended_well(job)

    def complain(self) -> None:
        """Pass on what a worker said about the store.

        Raises:
            StoreError: the store is full.
        """
        if self._complaint is not None:
            raise StoreError(self._complaint)

    def _start(self, place: int) -> submitit.LocalJob[str | None]:
        executor = submitit.LocalExecutor(self._submission.logs)
        gpus = visible_gpus()
        executor.update_parameters(
            timeout_min=FOREVER_MINUTES, stderr_to_stdout=True, gpus_per_node=min(len(gpus), 1)
        )
        if gpus:
            # Set beside `update_parameters`, which takes numbers alone and no UUIDs.
            executor.parameters["visible_gpus"] = (gpus[place % len(gpus)],)
        worker = Worker(
            store=self._store.root,
            request=self._submission.request,
            pids=self._pids,
            parent=os.getpid(),
            makers=self._makers,
        )
        with _environment(OMP_NUM_THREADS=str(self._threads)), _ctrl_c_is_ours():
            return cast(submitit.LocalJob[str | None], executor.submit(worker))

    def _bury(self, job: submitit.LocalJob[str | None], unfinished: list[Artifact]) -> None:
        """Blame what a dead worker was making; one that ended by itself leaves no claim."""
        blamed = False
        for artifact in unfinished:
            owner = read_json(self._store.claim_path(artifact))
            if owner is None or not self._is_worker(owner):
                continue
            if claims.owner(self._store.claim_path(artifact)) is None and not self._store.is_done(artifact):
                reason = "the process that made it was killed (by hand, or for want of memory)"
                failure = {"reason": reason, "traceback": _tail(Path(job.paths.stdout))}
                self._store.record_failure(artifact, failure)
                self._store.claim_path(artifact).unlink(missing_ok=True)
                blamed = True
        self._fruitless = 0 if blamed else self._fruitless + 1
        if self._fruitless > 2 * len(self._places) and unfinished:
            raise WorkerError(f"workers end before they make anything: {_tail(Path(job.paths.stdout), 1)}")

    def _release_strangers(self, unfinished: list[Artifact]) -> None:
        """Free what a dead process of another run left: workers leave every claim alone."""
        for artifact in unfinished:
            path = self._store.claim_path(artifact)
            owner = read_json(path)
            if owner is not None and not self._is_worker(owner) and claims.owner(path) is None:
                with self._store.claim(artifact):
                    pass

    def _is_worker(self, owner: Mapping[str, Any]) -> bool:
        """Whether a claim is one of our workers': a container begun anew has old pids."""
        return (
            owner.get("host") == socket.gethostname()
            and owner.get("started", 0.0) >= self._since
            and owner.get("pid") in {int(path.name) for path in self._pids.iterdir()}
        )

    def _ended_well(self, job: submitit.LocalJob[str | None]) -> bool:
        """True if the worker found nothing more to do; keeps what it said about the store."""
        if not job.paths.result_pickle.exists():
            return False
        outcome, complaint = job._get_outcome_and_result()
        if outcome == "success":
            self._complaint = self._complaint or complaint
        return bool(outcome == "success")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(profile: Profile) -> int:
    """As many as the cores feed, or one for each GPU."""
    return max(1, torch.cuda.device_count() or cores() // (profile.threads or cores()))


def _clear(plan: Plan, store: Store) -> None:
    """A new run tries again what failed before."""
    for artifact in plan.artifacts:
        store.clear_failure(artifact)


def _tail(path: Path, lines: int = 40) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _ctrl_c_is_ours() -> Iterator[None]:
    """Processes started within the block ignore the terminal's Ctrl-C: we tell them to stop, gently."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
