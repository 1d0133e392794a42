"""What a cluster job does: makes one artifact of a stored request, by name.

It depends on the store and the code snapshot alone. Told to stop (preempted, or out of time), it checkpoints
and puts itself back into the queue; the next attempt goes on from there and ends with the same bits.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.artifacts import Artifact, artifacts_from_json
from experiments.executors.lines import LogLines
from experiments.executors.processes import announce
from experiments.executors.queue import requeue
from experiments.running.followers import follow, leading
from experiments.running.runner import FindMaker, ensure
from experiments.running.stop import Interrupted, Stop
from experiments.store import CHECKPOINT, TOKENS, Store, read_json
from experiments.tasks.base import Maker
from sftok.distributed import joined

if TYPE_CHECKING:
    from sftok.data.base import ImageSet

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Before it kills, Slurm sends SIGTERM (preemption, scancel) or SIGUSR2 (the notice that we ask for)."""

SLACK_SECONDS = 90
"""Slurm's notice may come a minute early, and a job starts before its process does."""

STOPPED = 75
"""Exit code of a job that checkpointed and stopped."""


class JobError(RuntimeError):
    """The artifact could not be made; the reason is in the store as well."""


@dataclass(frozen=True, kw_only=True)
class ArtifactJob:
    """Called in the job; pickled when it is submitted, so it holds nothing but names."""

    store: Path
    request: Path
    artifact: str
    minutes: int
    """How long one attempt may take."""
    notice_seconds: int
    """How long before that Slurm says so."""
    max_requeues: int
    makers: str = "experiments.tasks:find_maker"
    """`module:function` that finds the maker of a kind."""

    def __call__(self) -> None:
        """Make the artifact.

        Raises:
            JobError: it cannot be made.
            WorldBroken: it cannot, as the processes of the job have lost each other.
            SystemExit: told to stop; the job is back in the queue, if Slurm still wants it.
        """
        began = time.time()
        announce(os.environ)
        store = Store(self.store)
        plan = (read_json(self.request) or {})["plan"]
        artifact = artifacts_from_json(plan["artifacts"])[self.artifact]
        stop = Stop()
        data = PlannedData(plan["recipe"]["data"], artifact)
        find = prepared(load_finder(self.makers), plan["profile"]["threads"])
        # Slurm's notice is lost on a process that has just started: watch the clock as well.
        clock = threading.Timer(60 * self.minutes - self.notice_seconds, stop.request)
        clock.daemon = True
        clock.start()
        with stop.on_signals(SIGNALS, second_kills=False), joined(artifact.device) as world:
            if not world.is_first:
                follow((artifact,), store, data, stop, world, find)
                return
            try:
                with leading(world):
                    self._require_inputs(artifact, store)
                    reason = ensure(artifact, store, data, [LogLines()], stop, world, find)
            except Interrupted as interruption:
                print(f"{interruption}", flush=True)
                self._requeue(artifact, store, began)
                sys.exit(STOPPED)
            finally:
                clock.cancel()
        if reason is not None:
            raise JobError(reason)

    def _require_inputs(self, artifact: Artifact, store: Store) -> None:
        missing = [upstream for upstream in artifact.inputs.values() if not store.is_done(upstream)]
        if missing and not store.is_done(artifact):
            reason = f"its input {missing[0].label} ({missing[0].name}) is not in the store {store.root}"
            self._give_up(artifact, store, reason)

    def _requeue(self, artifact: Artifact, store: Store, began: float) -> None:
        """Back into the queue, unless Slurm has ended the job (scancel) or requeued it already.

        Raises:
            JobError: that would never end.
        """
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        out_of_time = time.time() - began >= 60 * self.minutes - self.notice_seconds - SLACK_SECONDS
        if restarts >= self.max_requeues:
            self._give_up(
                artifact, store, f"stopped {restarts + 1} times; max_requeues is {self.max_requeues}"
            )
        if out_of_time and not _kept_work_since(began, store.work_folder(artifact)):
            again = f"and it would begin anew: raise time of kind {artifact.kind}"
            self._give_up(artifact, store, f"out of time (the job was given {self.minutes} min), {again}")
        requeue()

    def _give_up(self, artifact: Artifact, store: Store, reason: str) -> None:
        store.record_failure(artifact, {"reason": reason, "traceback": ""})
        raise JobError(reason)


def _kept_work_since(began: float, folder: Path) -> bool:
    """Whether the next attempt goes on from what this one left: a checkpoint, or files of ids."""
    kept = [folder / CHECKPOINT, *folder.glob(f"{TOKENS}*")]
    return any(path.exists() and path.stat().st_mtime >= began for path in kept)


class PlannedData:
    """The data sets, refused if they are no longer what the plan was made for."""

    def __init__(self, config: Mapping[str, Any], artifact: Artifact):
        self._config, self._planned = config, artifact.data

    def load(self, split: str) -> ImageSet:
        """The images of `split`.

        Raises:
            DataError: they cannot be read, or are others than when the plan was made.
        """
        # Imported here: a job whose artifact is there already must not wait for torch.
        from experiments.running.datasets import DataSets
        from sftok.data import DataConfig, DataError

        image_set = DataSets(DataConfig.build(dict(self._config))).load(split)
        if self._planned.get(split, image_set.fingerprint) != image_set.fingerprint:
            raise DataError(f"the {split} images changed since this was planned; run the command again")
        return image_set


def load_finder(reference: str) -> FindMaker:
    """The function that `module:function` names."""
    module, _, name = reference.partition(":")
    finder: FindMaker = getattr(importlib.import_module(module), name)
    return finder


def prepared(find: FindMaker, threads: int | None) -> FindMaker:
    """`find`, with torch set up once the maker's module has imported it."""

    def find_and_prepare(kind: str) -> Maker:
        maker = find(kind)
        if "torch" in sys.modules:
            from experiments.running.computing import prepare_torch

            prepare_torch(threads)
        return maker

    return find_and_prepare
