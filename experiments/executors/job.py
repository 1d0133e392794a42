"""What a cluster job does: makes one artifact of a stored request, by name.

It depends on the store and the code snapshot alone. Told to stop (preempted, or out of time), it checkpoints
and puts itself back into the queue; the next attempt goes on from there and ends with the same bits.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.artifacts import Artifact
from experiments.computing import prepare_torch
from experiments.datasets import DataSets
from experiments.executors.processes import announce
from experiments.executors.queue import SlurmError, slurm
from experiments.followers import follow, leading
from experiments.progress import ConsoleProgress
from experiments.requests import Request
from experiments.runner import FindMaker, Interrupted, Stop, ensure
from experiments.store import Store
from sftok.data import DataConfig, DataError
from sftok.data.base import ImageSet
from sftok.distributed import joined

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Before it kills, Slurm sends SIGTERM (preemption, scancel) or SIGUSR2 (the notice that we ask for)."""

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
    max_requeues: int
    makers: str = "experiments.tasks:find_maker"
    """`module:function` that finds the maker of a kind."""

    def __call__(self) -> None:
        """Make the artifact.

        Raises:
            JobError: it cannot be made.
            SystemExit: told to stop; the job is back in the queue, if Slurm still wants it.
        """
        announce(os.environ)
        store = Store(self.store)
        plan = Request.load(self.request).plan
        artifact = next(each for each in plan.artifacts if each.name == self.artifact)
        progress = ConsoleProgress(plan, Console(no_color=True), costs={})
        stop = Stop()
        data = PlannedData(plan.recipe.data, artifact)
        prepare_torch(plan.profile)
        find = load_finder(self.makers)
        with stop.on_signals(SIGNALS, second_kills=False), joined(artifact.device) as world:
            if not world.is_first:
                follow((artifact,), store, data, stop, world, find)
                return
            try:
                with leading(world):
                    self._require_inputs(artifact, store)
                    reason = ensure(artifact, store, data, [progress], stop, world, find)
            except Interrupted as interruption:
                print(f"{interruption}", flush=True)
                self._requeue(artifact, store)
                sys.exit(STOPPED)
        if reason is not None:
            raise JobError(reason)

    def _require_inputs(self, artifact: Artifact, store: Store) -> None:
        missing = [upstream for upstream in artifact.inputs.values() if not store.is_done(upstream)]
        if missing and not store.is_done(artifact):
            reason = f"its input {missing[0].label} ({missing[0].name}) is not in the store {store.root}"
            store.record_failure(artifact, {"reason": reason, "traceback": ""})
            raise JobError(reason)

    def _requeue(self, artifact: Artifact, store: Store) -> None:
        """Back into the queue, unless Slurm has ended the job (scancel) or requeued it already."""
        job = os.environ["SLURM_JOB_ID"]
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        if restarts >= self.max_requeues:
            reason = f"stopped for the {restarts + 1}th time, and max_requeues is {self.max_requeues}"
            store.record_failure(artifact, {"reason": reason, "traceback": ""})
            raise JobError(reason)
        try:
            if "JobState=RUNNING" in slurm("scontrol", "show", "job", job):
                slurm("scontrol", "requeue", job)
                print(f"job {job} is back in the queue", flush=True)
        except SlurmError as error:
            # Slurm keeps requeuing preempted jobs by itself; only a time-out then ends as one.
            print(f"job {job} could not be put back into the queue: {error}", file=sys.stderr, flush=True)


class PlannedData(DataSets):
    """The data sets, refused if they are no longer what the plan was made for."""

    def __init__(self, config: DataConfig, artifact: Artifact):
        super().__init__(config)
        self._planned = artifact.data

    def load(self, split: str) -> ImageSet:
        """The images of `split`.

        Raises:
            DataError: they cannot be read, or are others than when the plan was made.
        """
        image_set = super().load(split)
        if self._planned.get(split, image_set.fingerprint) != image_set.fingerprint:
            raise DataError(f"the {split} images changed since this was planned; run the command again")
        return image_set


def load_finder(reference: str) -> FindMaker:
    """The function that `module:function` names."""
    module, _, name = reference.partition(":")
    finder: FindMaker = getattr(importlib.import_module(module), name)
    return finder
