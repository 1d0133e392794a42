"""Updates the store from Slurm, so that a reason is recorded even for a job that died silently."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from experiments.executors import ledger
from experiments.executors.events import Event, Started
from experiments.executors.ledger import JobRecord
from experiments.executors.queue import LIVE, QUEUED, JobState, SlurmError, job_states
from experiments.store import LOST_OTHERS, Store, StoredArtifact, locks

SIGNAL_NAMES = {9: "SIGKILL", 11: "SIGSEGV", 6: "SIGABRT", 7: "SIGBUS", 15: "SIGTERM"}


class _Input(NamedTuple):
    """An artifact known only by name."""

    name: str


def refresh(store: Store, artifacts: Iterable[StoredArtifact]) -> None:
    """Record the state of every unfinished artifact's job, and why it ended if it left no result.

    Raises:
        SlurmError: the controller does not answer; the store is unchanged.
    """
    jobs = ledger.jobs_of(store, [artifact for artifact in artifacts if not store.is_done(artifact)])
    states = job_states(job.job for job in jobs.values())
    for artifact, job in jobs.items():
        state = states[job.job]
        # A `retry` may meanwhile have queued another job, to which this state does not apply.
        latest = ledger.job_of(store, artifact)
        if latest is None or latest.job != job.job:
            continue
        if not state.live and locks.owner(store.lock_path(artifact)) is not None:
            # Another process is making it, or the job's node died and its lock is not stale yet.
            continue
        explained = _explain(store, artifact, job, state)
        now = {"state": state.state, "reason": state.reason, "explained": explained}
        if (updated := job.model_copy(update=now)) != job:
            ledger.record(store, artifact, updated)


def _explain(store: Store, artifact: StoredArtifact, job: JobRecord, state: JobState) -> bool:
    """Record once why a job ended; returns whether a reason is recorded."""
    failure = store.failure(artifact)
    lost = failure is not None and failure.get(LOST_OTHERS, False)
    if state.live:
        if lost and state.state in QUEUED:
            # The job lost a process together with its node, and Slurm has requeued the job.
            store.clear_failure(artifact)
        return False
    if job.explained or (failure is not None and not lost) or store.is_done(artifact):
        return True
    canceled = state.state in ("CANCELLED", "UNKNOWN", "MISSING")  # or forgotten since
    if canceled and not all(map(store.is_done, map(_Input, artifact.inputs.values()))):
        # Slurm cancels jobs that depend on a failed one; those did not fail themselves.
        return False
    content = {
        "reason": why_ended(artifact, job, state),
        "traceback": (failure or {}).get("traceback", ""),
        "state": state.state,
        "job": job.job,
    }
    store.record_failure(artifact, content)
    return True


class EndedJobs:
    """A listener for a run without Slurm that discards the records of ended jobs.

    Otherwise a job whose end was never recorded would count as a failure of this run, and its log as this
    run's. The reason and log of a job are kept until the run starts on its artifact.
    """

    def __init__(self, store: Store, artifacts: Iterable[StoredArtifact]):
        """Refresh the state of the artifacts' jobs; if Slurm does not answer, its last states are used."""
        self._store = store
        if jobs := ledger.jobs_of(store, artifacts):
            with contextlib.suppress(SlurmError):
                refresh(store, jobs)
        for artifact in jobs:
            job = ledger.job_of(store, artifact)
            if job is not None and job.state not in LIVE:
                ledger.record(store, artifact, job.model_copy(update={"explained": True}))

    def __call__(self, event: Event) -> None:
        """Delete the record of the ended job of an artifact that is being made."""
        if isinstance(event, Started):
            job = ledger.job_of(self._store, event.artifact)
            if job is not None and job.state not in LIVE:
                ledger.forget(self._store, event.artifact)


def why_ended(artifact: StoredArtifact, job: JobRecord, state: JobState) -> str:
    """Why a job ended without a result, and what to do, in one line."""
    name = f"job {job.job}"
    again = "`retry --failed` resumes it from its last checkpoint"
    number = state.signal or (state.exit_code - 128 if state.exit_code > 128 else 0)
    match state.state:
        case "OUT_OF_MEMORY":
            given = job.memory or "the cluster's default"
            return f"out of memory ({name} was given {given}); raise memory of kind {artifact.kind}"
        case "TIMEOUT":
            return f"out of time ({name} was given {job.minutes} min); raise time of kind {artifact.kind}"
        case "CANCELLED":
            return f"canceled ({name}{', by user ' + state.user if state.user else ''}); {again}"
        case "NODE_FAIL" | "BOOT_FAIL":
            return f"its node was lost ({name}{' on ' + state.node if state.node else ''}); {again}"
        case "PREEMPTED":
            return f"preempted ({name}); {again}"
        case "UNKNOWN" | "MISSING":
            return f"{name} is gone, and Slurm's accounting does not say why; see its log"
    if number:
        return f"crashed: killed by signal {number} {SIGNAL_NAMES.get(number, '')}".rstrip() + f" ({name})"
    if state.state == "COMPLETED":
        return f"{name} ended without a result; see its log"
    word = state.state.lower().replace("_", " ")
    return f"crashed: exit code {state.exit_code} ({name}, {word}); see its log"
