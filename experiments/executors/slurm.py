"""Turns a plan into Slurm jobs: one an artifact, dependencies as dependencies, equal ones as arrays.

Submitting returns at once and nothing depends on the submitting process. A job whose input fails is
cancelled by Slurm (`--kill-on-invalid-dep`); `status` shows it as blocked and `retry` submits it again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import submitit

from experiments.artifacts import Artifact
from experiments.executors import ledger
from experiments.executors.job import ArtifactJob
from experiments.executors.ledger import JobRecord, Submission, new_submission
from experiments.executors.preflight import check_limits, check_processes, largest_array, try_out
from experiments.executors.queue import SlurmError, job_states, slurm
from experiments.executors.resources import Cluster
from experiments.executors.sbatch import job_executor, job_setup, refusal
from experiments.executors.snapshot import take_snapshot
from experiments.planning.plan import Plan
from experiments.planning.requests import Request
from experiments.store import CANNOT_WRITE, Store, StoreError

MAKERS = "experiments.tasks:find_maker"


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """What a submission came to."""

    submission: Submission | None
    """None if everything was done."""
    jobs: Mapping[Artifact, JobRecord]
    """The new jobs."""
    in_flight: Mapping[Artifact, JobRecord]
    """Artifacts that earlier jobs make."""


def check(artifacts: Iterable[Artifact], cluster: Cluster, folder: Path) -> None:
    """Ask Slurm whether it would take the jobs of `artifacts`; queues nothing.

    Raises:
        SlurmError: it would not; names the kind and Slurm's own reason.
    """
    artifacts = list(artifacts)
    for artifact in artifacts:
        check_processes(artifact, cluster.kinds[artifact.kind])
    for kind in dict.fromkeys(artifact.kind for artifact in artifacts):
        resources = cluster.kinds[kind]
        check_limits(kind, resources)
        executor = job_executor(folder, resources, setup=[], dependencies=[], name="check")
        try_out(kind, executor._make_submission_file_text("true", ""))


def submit(request: Request, store: Store, cluster: Cluster, makers: str = MAKERS) -> Submitted:
    """Queue a job for every artifact that is neither done nor in flight.

    Raises:
        SlurmError: Slurm refuses a job; those of this submission that were queued already are cancelled.
        StoreError: another process submits from this store at this moment; or the store is full, and what
            was queued already is cancelled.
    """
    try:
        return _submit(request, store, cluster, makers)
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        raise StoreError(
            f"store {store.root}: cannot be written to ({error.strerror}); nothing of "
            f"{request.plan.experiment.name} is queued, "
            "free some space and run the same command again"
        ) from None


def _submit(request: Request, store: Store, cluster: Cluster, makers: str) -> Submitted:
    plan = request.plan
    with ledger.submitting(store):
        missing = [artifact for artifact in plan.artifacts if not store.is_done(artifact)]
        known = ledger.jobs_of(store, missing)
        states = job_states(job.job for job in known.values())
        in_flight = {artifact: job for artifact, job in known.items() if states[job.job].live}
        todo = [artifact for artifact in missing if artifact not in in_flight]
        if not missing:
            return Submitted(submission=None, jobs={}, in_flight={})
        snapshot = take_snapshot(store.root / "snapshots")
        # Also where others' jobs make it all: what is waited for is not to be cancelled with theirs.
        submission = new_submission(store, request)
        submission.save_cluster(cluster.dump())
        queue = _Queue(plan, store, submission, cluster, snapshot, makers, dict(in_flight))
        try:
            for group in grouped(todo, largest_array()):
                queue.add(group)
        except BaseException:
            queue.withdraw(todo)
            with contextlib.suppress(OSError):
                submission.withdrawn.touch()
            raise
    return Submitted(
        submission=submission, jobs={artifact: queue.jobs[artifact] for artifact in todo}, in_flight=in_flight
    )


def grouped(artifacts: Iterable[Artifact], largest: int) -> list[list[Artifact]]:
    """Artifacts of one kind that need the same inputs, at most `largest` together, after their inputs."""
    groups: dict[Any, list[Artifact]] = {}
    for artifact in artifacts:
        needs = frozenset(upstream.name for upstream in artifact.inputs.values())
        groups.setdefault((artifact.kind, needs), []).append(artifact)
    return [
        members[start : start + largest]
        for members in groups.values()
        for start in range(0, len(members), largest)
    ]


def cancel(jobs: Iterable[JobRecord]) -> None:
    """Cancel jobs; running ones get a moment to checkpoint.

    Raises:
        SlurmError: Slurm does not answer.
    """
    numbers = [job.job for job in jobs]
    if numbers:
        slurm("scancel", *numbers)


class _Queue:
    """The jobs of one submission, as they are queued."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        submission: Submission,
        cluster: Cluster,
        snapshot: Path,
        makers: str,
        in_flight: dict[Artifact, JobRecord],
    ):
        self._plan, self._store = plan, store
        self._submission, self._cluster = submission, cluster
        self._snapshot, self._makers = snapshot, makers
        self.jobs = in_flight
        """All that are in flight, ours and earlier ones."""

    def add(self, group: list[Artifact]) -> None:
        """Queue a group: one job, or one array."""
        resources = self._cluster.kinds[group[0].kind]
        inputs = [upstream for upstream in group[0].inputs.values() if not self._store.is_done(upstream)]
        dependencies = list(
            dict.fromkeys(self.jobs[upstream].job for upstream in inputs if upstream in self.jobs)
        )
        executor = job_executor(
            self._submission.logs,
            resources,
            setup=job_setup(self._snapshot, resources, self._plan.profile.threads),
            dependencies=dependencies,
            name=f"{self._plan.experiment.name}-{group[0].kind}",
        )
        calls = [
            ArtifactJob(
                store=self._store.root,
                request=self._submission.request,
                artifact=artifact.name,
                minutes=int(resources.time),
                notice_seconds=resources.notice_seconds,
                max_requeues=resources.max_requeues,
                makers=self._makers,
            )
            for artifact in group
        ]
        try:
            queued = executor.submit_array(calls) if len(calls) > 1 else [executor.submit(calls[0])]
        except submitit.core.utils.FailedJobError as error:
            raise SlurmError(f"Slurm refuses a job of kind {group[0].kind}: {refusal(error)}") from None
        for artifact, job in zip(group, queued, strict=True):
            self.jobs[artifact] = JobRecord(
                job=job.job_id,
                submission=self._submission.name,
                log=str(job.paths.stdout.relative_to(self._store.root)),
                memory=resources.memory,
                minutes=int(resources.time),
                submitted=datetime.now(UTC).isoformat(timespec="seconds"),
            )
            self._store.clear_failure(artifact)
            ledger.record(self._store, artifact, self.jobs[artifact])

    def withdraw(self, artifacts: Iterable[Artifact]) -> None:
        """Cancel what was queued."""
        queued = {artifact: self.jobs[artifact] for artifact in artifacts if artifact in self.jobs}
        with contextlib.suppress(SlurmError):
            cancel(queued.values())
        for artifact in queued:
            ledger.forget(self._store, artifact)
