"""What a local worker does: makes whatever of the plan is ready and nobody else's, until nothing is left.

Several work on one plan through the store alone: claims keep them apart, failure files tell each of them what
is not worth waiting for. A claim that a dead worker left is none of a worker's business: the process that
started it finds out first whether it was the artifact that killed it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from experiments.artifacts import Artifact
from experiments.executors.job import STOPPED, PlannedData, load_finder
from experiments.planning.plan import Plan
from experiments.planning.requests import Request
from experiments.running.computing import prepare_torch
from experiments.running.runner import FindMaker, make
from experiments.running.stop import Interrupted, Stop
from experiments.store import Store, StoreError

POLL_SECONDS = 0.2
PARENT_EVERY_SECONDS = 1.0


class WorkerError(RuntimeError):
    """Workers end before they make anything; the message holds their own."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Called in a worker's process; pickled when it is started, so it holds nothing but names."""

    store: Path
    request: Path
    pids: Path
    """A folder where it leaves its process's number."""
    parent: int
    """The process that started it: without it nobody wants the results."""
    makers: str

    def __call__(self) -> str | None:
        """Work until everything is made, failed or blocked; returns what is wrong with the store, if so.

        Raises:
            SystemExit: told to stop.
        """
        plan = Request.load(self.request).plan
        prepare_torch(plan.profile.threads)
        (self.pids / str(os.getpid())).touch()
        stop = StopWithParent(self.parent)
        with stop.on_signals((signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2), second_kills=False):
            try:
                work(plan, Store(self.store), stop, load_finder(self.makers))
            except Interrupted as interruption:
                print(interruption, flush=True)
                sys.exit(STOPPED)
            except StoreError as error:
                return str(error)
        return None


class StopWithParent(Stop):
    """Asked to stop by a signal, or by the end of the process that started this one."""

    def __init__(self, parent: int):
        super().__init__()
        self._parent = parent
        self._looked = time.monotonic()

    def requested(self) -> bool:
        """True once a signal came or the parent is gone."""
        now = time.monotonic()
        if now - self._looked > PARENT_EVERY_SECONDS:
            self._looked = now
            try:
                os.kill(self._parent, 0)
            except ProcessLookupError:
                self.request()
        return super().requested()


def work(plan: Plan, store: Store, stop: Stop, find: FindMaker) -> None:
    """Make what is ready, one after another.

    Raises:
        Interrupted: asked to stop.
        StoreError: the store is full.
    """
    config = plan.recipe.data.model_dump(mode="json")
    waiting, done, hopeless = list(plan.artifacts), set[Artifact](), set[Artifact]()
    while waiting:
        if stop.requested():
            raise Interrupted("stopped between two artifacts")
        ready = _next_ready(waiting, done, hopeless, store)
        if ready is None:
            if waiting:
                time.sleep(POLL_SECONDS)
            continue
        with store.claim(ready) as ours:
            if ours and not store.is_done(ready):
                make(ready, store, PlannedData(config, ready), [], stop, find=find)


def _next_ready(
    waiting: list[Artifact], done: set[Artifact], hopeless: set[Artifact], store: Store
) -> Artifact | None:
    """The first artifact that can be made now; moves those that are over from `waiting` to the other two."""
    for artifact in list(waiting):
        inputs = set(artifact.inputs.values())
        over = None
        if store.is_done(artifact):
            over = done
        elif inputs & hopeless:
            over = hopeless
        elif inputs <= done:
            if store.failure(artifact) is not None:
                over = hopeless
            elif not store.claim_path(artifact).exists():
                return artifact
        if over is not None:
            over.add(artifact)
            waiting.remove(artifact)
    return None
