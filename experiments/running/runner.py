"""Runs a plan in this process: every artifact that is not there yet, inputs first, each once.

Failures are recorded and never taken for results; what does not depend on a failed artifact goes on. An
artifact that another process is making is left to it, and waited for only when nothing else can be done. The
first Ctrl-C (or SIGTERM) checkpoints and stops.

Of processes that make an artifact together, one that fails alone parts from the others, which wait for it in
the middle of an exchange: the run ends with its reason. What fails in all of them alike leaves them together,
and the run goes on as it does in one process.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from experiments import claims
from experiments.artifacts import Artifact
from experiments.running.listener import Listener
from experiments.running.monitor import FileMonitor
from experiments.running.provenance import peak_memory_bytes, provenance
from experiments.running.stop import Interrupted, Stop
from experiments.store import CANNOT_WRITE, LOST_OTHERS, Store, StoreError
from experiments.tasks import PARALLEL_KINDS, find_maker
from experiments.tasks.base import Data, Maker, Task
from sftok.distributed import SINGLE, World, WorldBroken
from sftok.training.interruption import TrainingInterrupted

if TYPE_CHECKING:
    from experiments.planning.plan import Plan

POLL_SECONDS = 1.0

ALIKE = timedelta(seconds=10)
"""A failure that all processes have in common reaches them within this time of each other."""

FindMaker = Callable[[str], Maker]
"""The maker of a kind of artifact."""


class Parted(WorldBroken):
    """The processes of a run have lost each other over an artifact; nothing more can be made together."""

    def __init__(self, artifact: Artifact, reason: str):
        super().__init__(f"{artifact.label}: {reason}; the processes have lost each other, so the run ends")


def run(
    plan: Plan,
    store: Store,
    data: Data,
    listeners: list[Listener],
    stop: Stop,
    world: World = SINGLE,
) -> dict[Artifact, str]:
    """Make every artifact of `plan`; returns the reasons of those that failed or were blocked.

    Called by the first process of `world`; the others are in `experiments.running.followers.follow`.

    Raises:
        Interrupted: a signal asked to stop.
        Parted: the processes of `world` have lost each other.
        OSError: the store cannot be written to (a full disk); what is finished stays.
    """
    failures: dict[Artifact, str] = {}
    left = list(plan.artifacts)
    told: set[Artifact] = set()
    with stop.on_signals():
        while left:
            before = len(left)
            for artifact in plan.artifacts:
                if artifact not in left or any(upstream in left for upstream in artifact.inputs.values()):
                    continue
                blockers = [upstream for upstream in artifact.inputs.values() if upstream in failures]
                if blockers:
                    failures[artifact] = f"blocked by {blockers[0].label} ({blockers[0].name})"
                    _tell(listeners, "failed", artifact, failures[artifact])
                else:
                    settled, reason = attempt(artifact, store, data, listeners, stop, told, world)
                    if not settled:
                        continue
                    if reason is not None:
                        failures[artifact] = reason
                left.remove(artifact)
            if len(left) == before:
                time.sleep(POLL_SECONDS)
    return failures


def make_one(
    artifact: Artifact, store: Store, data: Data, listeners: list[Listener], stop: Stop
) -> str | None:
    """Make one artifact that stands for itself, unless it is there; returns why it failed, if it did.

    Raises:
        Interrupted: a signal asked to stop.
    """
    with stop.on_signals():
        return ensure(artifact, store, data, listeners, stop)


def ensure(
    artifact: Artifact,
    store: Store,
    data: Data,
    listeners: list[Listener],
    stop: Stop,
    world: World = SINGLE,
    find: FindMaker | None = None,
) -> str | None:
    """Make the artifact unless it is there; returns why it could not be made. Its inputs must be there.

    Raises:
        Interrupted: asked to stop.
        Parted: the processes of `world` have lost each other.
    """
    told: set[Artifact] = set()
    while True:
        settled, reason = attempt(artifact, store, data, listeners, stop, told, world, find)
        if settled:
            return reason
        time.sleep(POLL_SECONDS)


def attempt(
    artifact: Artifact,
    store: Store,
    data: Data,
    listeners: list[Listener],
    stop: Stop,
    told: set[Artifact],
    world: World = SINGLE,
    find: FindMaker | None = None,
) -> tuple[bool, str | None]:
    """Make the artifact unless it is there or another process makes it; never waits.

    `told` are the artifacts whose other maker was announced already.

    Returns:
        Whether it is settled, and why it could not be made.

    Raises:
        Interrupted: asked to stop.
        Parted: the processes of `world` have lost each other.
    """
    if store.is_done(artifact):
        return True, None
    if stop.requested():
        raise Interrupted(f"stopped before {artifact.label}")
    with store.claim(artifact) as ours:
        if ours and not store.is_done(artifact):
            return True, make(artifact, store, data, listeners, stop, world, find)
    owner = None if ours else claims.owner(store.claim_path(artifact))
    if owner and artifact not in told:
        told.add(artifact)
        _tell(listeners, "waiting", artifact, owner)
    return ours, None


def make(
    artifact: Artifact,
    store: Store,
    data: Data,
    listeners: list[Listener],
    stop: Stop,
    world: World = SINGLE,
    find: FindMaker | None = None,
) -> str | None:
    """Make one claimed artifact; returns why it failed, or None when it is finished.

    `find` names other makers than those of `experiments.tasks`.

    Raises:
        Interrupted: asked to stop; a checkpoint is in the work folder.
        Parted: the processes of `world` have lost each other; if over this artifact, its failure is recorded.
    """
    _tell(listeners, "started", artifact)
    store.clear_failure(artifact)

    def advanced(done: int, total: int, remaining: float | None) -> None:
        _tell(listeners, "advanced", artifact, done, total, remaining)

    started, clock = datetime.now(UTC), time.monotonic()
    try:
        folder = store.open_work(artifact)
        task = Task(
            artifact=artifact,
            folder=folder,
            inputs={role: store.folder(upstream) for role, upstream in artifact.inputs.items()},
            load_data=data.load,
            cache=store.root / "cache",
            monitor=FileMonitor(folder, advanced, stop.requested),
            world=world if artifact.kind in PARALLEL_KINDS else SINGLE,
        )
        _call_others(task)
        result = _make_together(task, find or find_maker)
        made_in = {
            "config_hash": artifact.config_hash,
            "started": started.isoformat(timespec="seconds"),
            "seconds": result.get("seconds", time.monotonic() - clock),
            "peak_rss_bytes": peak_memory_bytes(),
            "device": _device(artifact),
            "tf32": artifact.device == "cuda" and artifact.tf32,
            "processes": task.world.size,
        }
        result = {**result, "provenance": provenance() | made_in}
        store.commit(artifact, result)
    except TrainingInterrupted as interruption:
        raise Interrupted(f"{artifact.label}: {interruption}") from None
    except OSError as error:
        if error.errno in CANNOT_WRITE:
            reason = (
                f"{artifact.label}: cannot write to {store.root} ({error.strerror}); finished work "
                "is intact, free some space and run the same command again"
            )
            if world.size > 1:
                # The others will only see that this process is gone. So small a file may still find room.
                with contextlib.suppress(OSError):
                    store.record_failure(artifact, {"reason": reason, "traceback": ""})
            raise StoreError(reason) from None
        return _record_failure(artifact, store, listeners, error, world)
    except Parted:
        raise
    except Exception as error:
        return _record_failure(artifact, store, listeners, error, world)
    _tell(listeners, "finished", artifact, result)
    return None


def _call_others(task: Task) -> None:
    if task.world.size > 1:
        try:
            task.world.announce(task.artifact.name)
        except WorldBroken:
            raise Parted(task.artifact, "not begun") from None


def _make_together(task: Task, find: FindMaker) -> dict[str, Any]:
    """Call the maker, as the other processes do; nobody goes on while one is still at it."""
    try:
        result = find(task.artifact.kind)(task)
        task.world.meet()
    except Exception as error:
        # What was told to stop comes when it has stopped.
        patience = None if isinstance(error, TrainingInterrupted) else ALIKE
        with contextlib.suppress(WorldBroken):
            task.world.meet(patience)
        raise
    return result


def _device(artifact: Artifact) -> str:
    if artifact.device == "cpu":
        return artifact.device
    # Imported here: what computes on the CPU without torch need not wait for its import.
    from sftok.device import describe_device

    return describe_device(artifact.device)


def _record_failure(
    artifact: Artifact, store: Store, listeners: list[Listener], error: Exception, world: World
) -> str | None:
    if store.is_done(artifact) and not world.broken:
        # Another process took the claim of this one, which slept, and has finished it with the same content.
        _tell(listeners, "finished", artifact, store.result(artifact))
        return None
    # To lose the others follows from a failure of theirs, which they have recorded if they could.
    reason = note_failure(artifact, store, error, first=isinstance(error, WorldBroken))
    _tell(listeners, "failed", artifact, reason)
    if world.broken:
        raise Parted(artifact, reason) from None
    return reason


def note_failure(artifact: Artifact, store: Store, error: Exception, *, first: bool, who: str = "") -> str:
    """Record the error that is being handled, under `who`; returns the reason that stands then."""
    first_line = f"{who}{type(error).__name__}: {error}".splitlines()[0]
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
    """How to have an input made again, if a file of it is what failed."""
    for folder in map(store.folder, artifact.inputs.values()):
        if f"{folder}{os.sep}" in reason:
            return f" (to have it made again, delete the folder {folder} and run again)"
    return ""


def _tell(listeners: list[Listener], event: str, *arguments: Any) -> None:
    for listener in listeners:
        getattr(listener, event)(*arguments)
