"""Makes artifacts in this process: each one that is missing from the store, once, inputs first.

Failures are recorded and never mistaken for results; artifacts that do not depend on a failed one are still
made. An artifact that another process is making is left to it, and awaited only when nothing else remains.
The first Ctrl-C (or SIGTERM) writes a checkpoint and stops.

A run may have several processes (torchrun). The first one locks, writes and reports like a single process. It
announces every artifact that is made in parallel, and the others do their share (`Runner.follow`). If only
one process fails, the others are stuck in a collective operation, on a GPU possibly outside Python: the run
ends with the reason that the failed process has recorded. After a failure common to all processes they remain
in step, and the run continues.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from experiments.executors.events import (
    Event,
    Failed,
    Finished,
    Listener,
    Preparing,
    Progress,
    Started,
    Waiting,
)
from experiments.executors.memory import out_of_memory
from experiments.executors.monitor import FileMonitor, SilentMonitor
from experiments.executors.process import peak_memory_bytes, provenance, running_commit
from experiments.executors.stop import Interrupted, Stop
from experiments.executors.work import blocked_by
from experiments.store import CANNOT_WRITE, LOST_OTHERS, Result, Store, StoreError, locks
from sftok.distributed import SINGLE, World, WorldBroken
from sftok.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    from sftok.data.base import ImageSet
    from sftok.training.loop import Monitor

POLL_SECONDS = 1.0

COMMON_FAILURE_TIMEOUT = timedelta(seconds=10)
"""Processes reach a failure common to all of them within this time of each other."""

log = logging.getLogger(__name__)


class ProcessesLostError(WorldBroken):
    """The processes of a run lost contact during an artifact, so nothing more can run in parallel."""

    def __init__(self, artifact: Artifact, reason: str):
        super().__init__(f"{artifact.label}: {reason}; the processes lost contact, so the run ends")


class Runner:
    """Makes artifacts in a store."""

    def __init__(
        self,
        store: Store,
        load_data: Callable[[str], ImageSet],
        listeners: Iterable[Listener] = (),
        stop: Stop | None = None,
        *,
        world: World = SINGLE,
        prepare: Callable[[], object] = lambda: None,
    ):
        """Initialize the runner.

        Args:
            store: the store of the artifacts.
            load_data: loads the images of a split.
            listeners: called with each event.
            stop: checked between steps for a request to stop.
            world: the processes that make parallel kinds together.
            prepare: called before an artifact is made.
        """
        self.store, self.world, self.stop = store, world, stop or Stop()
        self._load_data, self._listeners, self._prepare = load_data, list(listeners), prepare
        running_commit()
        self._waited_for: set[Artifact] = set()
        """Artifacts made by another process, for which `Waiting` has been reported."""

    def run(self, artifacts: Sequence[Artifact]) -> dict[Artifact, str]:
        """Make all of `artifacts`, whose inputs must be among them or finished.

        Returns:
            The reasons why artifacts failed or are blocked.

        Raises:
            Interrupted: a signal asked to stop.
            ProcessesLostError: the processes lost contact.
            StoreError: the store cannot be written to (a full disk); finished work is intact.
        """
        failures: dict[Artifact, str] = {}
        remaining = dict.fromkeys(artifacts)
        with self.stop.on_signals():
            while remaining:
                before = len(remaining)
                for artifact in list(remaining):
                    waits = any(upstream in remaining for upstream in artifact.inputs.values())
                    if not waits and self._settle(artifact, failures):
                        del remaining[artifact]
                if len(remaining) == before:
                    time.sleep(POLL_SECONDS)
        return failures

    def _settle(self, artifact: Artifact, failures: dict[Artifact, str]) -> bool:
        """Make the artifact or record why not; returns False if another process is making it."""
        reason = blocked_by(artifact, failures)
        if reason is not None:
            self._tell(Failed(artifact, reason))
        else:
            settled, reason = self._attempt(artifact)
            if not settled:
                return False
        if reason is not None:
            failures[artifact] = reason
        return True

    def ensure(self, artifact: Artifact) -> str | None:
        """Make one artifact whose inputs are finished, if necessary; returns why it failed, if it did.

        Unlike `run`, it leaves signals to the caller.

        Raises:
            Interrupted, ProcessesLostError, StoreError: see `run`.
        """
        while True:
            settled, reason = self._attempt(artifact)
            if settled:
                return reason
            time.sleep(POLL_SECONDS)

    def _attempt(self, artifact: Artifact) -> tuple[bool, str | None]:
        """Make the artifact unless it is finished or locked, without waiting.

        Returns:
            Whether the artifact is settled, and why it failed.
        """
        if self.store.is_done(artifact):
            return True, None
        if self.stop.requested():
            raise Interrupted(f"stopped before {artifact.label}")
        with self.store.lock(artifact) as ours:
            if ours and not self.store.is_done(artifact):
                return True, self.make(artifact)
        owner = None if ours else locks.owner(self.store.lock_path(artifact))
        if owner and artifact not in self._waited_for:
            self._waited_for.add(artifact)
            self._tell(Waiting(artifact, owner))
        return ours, None

    def make(self, artifact: Artifact) -> str | None:
        """Make an artifact that this process has locked; returns why it failed, or None if it is finished.

        Raises:
            Interrupted: a stop was requested; the work folder has a checkpoint.
            ProcessesLostError: the processes lost contact; a failure during this artifact is recorded.
            StoreError: the store cannot be written to.
        """
        self._tell(Started(artifact))
        self.store.clear_failure(artifact)
        try:
            result = self._make(artifact)
        except TrainingInterrupted as interruption:
            raise Interrupted(f"{artifact.label}: {interruption}") from None
        except ProcessesLostError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
                raise self._cannot_write(artifact, error) from None
            return self._fail(artifact, error)
        self._tell(Finished(artifact, result))
        return None

    def _make(self, artifact: Artifact) -> Result:
        started, clock = datetime.now(UTC), time.monotonic()
        self.store.open_work(artifact, artifact.identity)

        def report(done: int, total: int, remaining: float | None) -> None:
            self._tell(Progress(artifact, done, total, remaining))

        def prepare(what: str) -> None:
            self._tell(Preparing(artifact, what))

        folder = self.store.work_folder(artifact)
        monitor = FileMonitor(folder, report, self.stop.requested, prepare)
        world = self.world if artifact.parallel else SINGLE
        if world.size > 1:
            try:
                world.announce(artifact.name)
            except WorldBroken:
                raise ProcessesLostError(artifact, "not started") from None
        result = self._make_together(artifact, self._context(artifact, monitor, world))
        made = {
            "started": started.isoformat(timespec="seconds"),
            "seconds": result.get("seconds", time.monotonic() - clock),
            "peak_rss_bytes": peak_memory_bytes(),
            "device": _device(artifact),
            "tf32": artifact.device == "cuda" and artifact.tf32,
            "compile": artifact.compile,
            "processes": world.size,
            "workload": artifact.workload,
            "units": artifact.units,
        }
        self.store.commit(artifact, {**result, "provenance": provenance() | made})
        return self._result(artifact)

    def _result(self, artifact: Artifact) -> Result:
        result = self.store.result(artifact)
        if result is None:
            raise StoreError(f"{self.store.folder(artifact)} is gone; run the command again to recompute it")
        return result

    def _context(self, artifact: Artifact, monitor: Monitor, world: World) -> Context:
        return Context(
            folder=self.store.work_folder(artifact),
            store=self.store,
            load_data=self._load_data,
            monitor=monitor,
            world=world,
        )

    def _make_together(self, artifact: Artifact, context: Context) -> dict[str, Any]:
        """Make the artifact together with the other processes, and wait until all of them have finished."""
        try:
            self._prepare()
            result = artifact.make(context)
            context.world.meet()
        except Exception as error:
            # All processes were asked to stop and will do so, however long it takes.
            timeout = None if isinstance(error, TrainingInterrupted) else COMMON_FAILURE_TIMEOUT
            with contextlib.suppress(WorldBroken):
                context.world.meet(timeout)
            raise
        return result

    def _fail(self, artifact: Artifact, error: Exception) -> str | None:
        if self.store.is_done(artifact) and not self.world.broken:
            # This process was suspended and lost its lock; another one has finished identical content.
            self._tell(Finished(artifact, self._result(artifact)))
            return None
        # Losing the other processes results from a failure of theirs, which they have recorded if possible.
        reason = note_failure(artifact, self.store, error, first=isinstance(error, WorldBroken))
        self._tell(Failed(artifact, reason))
        if self.world.broken:
            raise ProcessesLostError(artifact, reason) from None
        return reason

    def _cannot_write(self, artifact: Artifact, error: OSError) -> StoreError:
        reason = (
            f"{artifact.label}: cannot write to {self.store.root} ({error.strerror}); finished work "
            "is intact; free some space and run the same command again"
        )
        if self.world.size > 1:
            # The other processes only see that this one is gone. A file this small may still fit.
            with contextlib.suppress(OSError):
                self.store.record_failure(artifact, {"reason": reason, "traceback": ""})
        return StoreError(reason)

    def follow(self, artifacts: Iterable[Artifact]) -> None:
        """Do this process's share of each artifact that the first process announces, until it has finished.

        Raises:
            WorldBroken: the first process is gone.
            ProcessesLostError: this process or another one failed alone.
        """
        me = f"process {self.world.rank} of {self.world.size}"
        by_name = {artifact.name: artifact for artifact in artifacts}
        while (name := self.world.announce()) is not None:
            artifact = by_name[name]
            context = self._context(artifact, SilentMonitor(self.stop.requested), self.world)
            try:
                self._prepare()
                artifact.make(context)
                self.world.meet()
            except TrainingInterrupted:
                log.info("%s stops with the others", me)
                self.world.meet()
            except Exception as error:
                reason = note_failure(artifact, self.store, error, first=True, who=f"{me}: ")
                if not self.world.broken:
                    log.exception("%s: its share of %s failed", me, artifact.label)
                with contextlib.suppress(WorldBroken):
                    self.world.meet(COMMON_FAILURE_TIMEOUT)
                if self.world.broken:
                    raise ProcessesLostError(artifact, reason) from None

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


@contextlib.contextmanager
def leading(world: World) -> Iterator[None]:
    """The block in which the first process leads the others; they are dismissed however it ends."""
    try:
        yield
    finally:
        # An error of the other processes must not hide the one that ended the block.
        with contextlib.suppress(WorldBroken):
            world.announce(None)


def note_failure(artifact: Artifact, store: Store, error: Exception, *, first: bool, who: str = "") -> str:
    """Record the exception being handled; returns the reason in the store afterwards.

    With `first`, an existing reason is kept. `who` names the process.
    """
    first_line = f"{who}{out_of_memory(error) or f'{type(error).__name__}: {error}'}".splitlines()[0]
    reason = first_line + _remedy(first_line, artifact, store)
    with contextlib.suppress(OSError):
        failure = {
            "reason": reason,
            "traceback": traceback.format_exc(),
            LOST_OTHERS: isinstance(error, WorldBroken),
        }
        store.record_failure(artifact, failure, first)
        reason = (store.failure(artifact) or {}).get("reason", reason)
    return reason


def _remedy(reason: str, artifact: Artifact, store: Store) -> str:
    """The remedy if a file of an input caused the failure."""
    for folder in map(store.folder, artifact.inputs.values()):
        if f"{folder}{os.sep}" in reason:
            return f" (to compute it again, delete the folder {folder} and run again)"
    return ""


def _device(artifact: Artifact) -> str:
    if artifact.device == "cpu":
        return artifact.device
    # Imported here, because artifacts made without torch should not wait for its import.
    from sftok.device import DeviceName, describe_device

    return describe_device(cast("DeviceName", artifact.device))
