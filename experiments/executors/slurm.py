"""Turns artifacts into Slurm jobs: one per artifact, with inputs as dependencies and similar ones as arrays.

Submitting returns at once, and jobs do not depend on the submitting process. Slurm cancels a job whose input
fails (`--kill-on-invalid-dep`); `status` shows it as blocked and `retry` submits it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments import artifacts
from experiments.artifacts import Artifact
from experiments.executors import ledger
from experiments.executors.job import ArtifactJob
from experiments.executors.ledger import JobRecord, Submission, new_submission
from experiments.executors.queue import SlurmError, job_states, slurm
from experiments.executors.resources import Cluster
from experiments.executors.sbatch import (
    check_kind,
    check_processes,
    job_executor,
    job_setup,
    largest_array,
    queue_jobs,
)
from experiments.executors.snapshot import take_snapshot
from experiments.requests import StoredRequest
from experiments.store import CANNOT_WRITE, Store, StoreError


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """The outcome of a submission."""

    submission: Submission | None
    """None if nothing had to be submitted."""
    jobs: Mapping[Artifact, JobRecord]
    """The new jobs."""
    in_flight: Mapping[Artifact, JobRecord]
    """Artifacts that earlier jobs are making."""


def check(wanted: Iterable[Artifact], cluster: Cluster, folder: Path) -> None:
    """Ask Slurm whether it would accept the jobs of the `wanted` artifacts, without queueing anything.

    Raises:
        SlurmError: it would not; names the kind and Slurm's reason.
    """
    kinds = {}
    for artifact in wanted:
        kinds[artifact.kind] = cluster.kinds[artifact.kind]
        check_processes(artifact, kinds[artifact.kind])
    for kind, resources in kinds.items():
        check_kind(kind, resources, folder)


def submit(request: StoredRequest, store: Store, cluster: Cluster) -> Submitted:
    """Queue a job for every artifact that is neither finished nor in flight.

    Raises:
        SlurmError: Slurm refuses a job; jobs already queued are canceled.
        StoreError: another process is submitting from this store; or the store cannot be written to, and
            jobs already queued are canceled.
    """
    try:
        with ledger.submitting(store):
            return _submit(request, store, cluster)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise StoreError(
            f"store {store.root}: cannot be written to ({error.strerror}); nothing was queued "
            f"for {request.name}; free some space and run the same command again"
        ) from None


def _submit(request: StoredRequest, store: Store, cluster: Cluster) -> Submitted:
    missing = [each for each in artifacts.load(request.artifacts).values() if not store.is_done(each)]
    if not missing:
        return Submitted(submission=None, jobs={}, in_flight={})
    known = ledger.jobs_of(store, missing)
    states = job_states(job.job for job in known.values())
    in_flight = {artifact: job for artifact, job in known.items() if states[job.job].live}
    todo = [artifact for artifact in missing if artifact not in in_flight]
    snapshot = take_snapshot(store.root / "snapshots")
    # Needed even if other submissions make everything, so that `cancel` knows that this one waits for them.
    submission = new_submission(store, request)
    submission.save_cluster(cluster.dump())
    queue = _Queue(request, store, submission, cluster, snapshot, dict(in_flight))
    try:
        for group in grouped(todo, largest_array()):
            queue.add(group)
    except BaseException:
        queue.withdraw(todo)
        with contextlib.suppress(OSError):
            submission.withdrawn.touch()
        raise
    jobs = {artifact: queue.jobs[artifact] for artifact in todo}
    return Submitted(submission=submission, jobs=jobs, in_flight=in_flight)


def grouped(todo: Iterable[Artifact], largest: int) -> list[list[Artifact]]:
    """Groups of at most `largest` artifacts of one kind with the same inputs; inputs come first."""
    groups: dict[Any, list[Artifact]] = {}
    for artifact in todo:
        needs = frozenset(upstream.name for upstream in artifact.inputs.values())
        groups.setdefault((artifact.kind, needs), []).append(artifact)
    return [
        members[start : start + largest]
        for members in groups.values()
        for start in range(0, len(members), largest)
    ]


def cancel(jobs: Iterable[JobRecord]) -> None:
    """Cancel jobs; running ones have time to write a checkpoint.

    Raises:
        SlurmError: Slurm does not answer.
    """
    ids = [job.job for job in jobs]
    if ids:
        slurm("scancel", *ids)


@dataclass
class _Queue:
    """Queues the jobs of one submission."""

    request: StoredRequest
    store: Store
    submission: Submission
    cluster: Cluster
    snapshot: Path
    jobs: dict[Artifact, JobRecord]
    """All jobs in flight, of this submission and earlier ones."""

    def add(self, group: list[Artifact]) -> None:
        """Queue a group as one job or one array."""
        kind = group[0].kind
        resources = self.cluster.kinds[kind]
        inputs = [upstream for upstream in group[0].inputs.values() if not self.store.is_done(upstream)]
        executor = job_executor(
            self.submission.logs,
            resources,
            setup=job_setup(self.snapshot, resources, self.request.threads),
            dependencies=list(dict.fromkeys(self.jobs[each].job for each in inputs if each in self.jobs)),
            name=f"{self.request.name}-{kind}",
        )
        calls = [
            ArtifactJob(
                store=self.store.root,
                request=self.submission.request,
                artifact=artifact.name,
                **ArtifactJob.limits(resources),
            )
            for artifact in group
        ]
        queued = queue_jobs(executor, calls, f"a job of kind {kind}")
        for artifact, job in zip(group, queued, strict=True):
            self.jobs[artifact] = JobRecord(
                job=job.job_id,
                submission=self.submission.name,
                log=str(job.paths.stdout.relative_to(self.store.root)),
                memory=resources.memory,
                minutes=int(resources.time),
                submitted=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self.store.clear_failure(artifact)
            ledger.record(self.store, artifact, self.jobs[artifact])

    def withdraw(self, todo: Iterable[Artifact]) -> None:
        """Cancel the queued jobs of `todo`."""
        queued = {artifact: self.jobs[artifact] for artifact in todo if artifact in self.jobs}
        with contextlib.suppress(SlurmError):
            cancel(queued.values())
        for artifact in queued:
            ledger.forget(self.store, artifact)
