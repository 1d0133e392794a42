"""Brings the store up to what Slurm knows: jobs that died without a word leave a reason for all to read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from experiments import claims
from experiments.artifacts import Artifact
from experiments.executors import ledger
from experiments.executors.ledger import JobRecord
from experiments.executors.queue import LIVE, QUEUED, JobState, SlurmError, job_states
from experiments.running.listener import Listener
from experiments.store import LOST_OTHERS, Store

SIGNAL_NAMES = {9: "SIGKILL", 11: "SIGSEGV", 6: "SIGABRT", 7: "SIGBUS", 15: "SIGTERM"}


def refresh(store: Store, artifacts: Iterable[Artifact]) -> None:
    """Note every unfinished artifact's job state, and why its job ended if it did so without a result.

    Raises:
        SlurmError: the controller does not answer; the store is as it was.
    """
    jobs = ledger.jobs_of(store, [artifact for artifact in artifacts if not store.is_done(artifact)])
    states = job_states(job.job for job in jobs.values())
    for artifact, job in jobs.items():
        state = states[job.job]
        # While Slurm was asked, a `retry` may have queued another job, which its answer is not about.
        latest = ledger.job_of(store, artifact)
        if latest is None or latest.job != job.job:
            continue
        if not state.live and claims.owner(store.claim_path(artifact)) is not None:
            # Made by another process now; or by this job, whose claim has a minute to live if its node died.
            continue
        explained = _explain(store, artifact, job, state)
        now = {"state": state.state, "reason": state.reason, "explained": explained}
        if (updated := job.model_copy(update=now)) != job:
            ledger.record(store, artifact, updated)


def _explain(store: Store, artifact: Artifact, job: JobRecord, state: JobState) -> bool:
    """Record why a job ended, once; whether there is such a reason.

    What was tried since by other means is none of Slurm's business.
    """
    failure = store.failure(artifact)
    lost = failure is not None and failure.get(LOST_OTHERS, False)
    if state.live:
        if lost and state.state in QUEUED:
            # Its processes lost one of theirs with a node; Slurm has put the job into the queue again.
            store.clear_failure(artifact)
        return False
    if job.explained or (failure is not None and not lost) or store.is_done(artifact):
        return True
    if state.state == "CANCELLED" and any(
        not store.is_done(upstream) for upstream in artifact.inputs.values()
    ):
        # Slurm cancels what waits for a failed job: that is no failure of its own.
        return False
    reason = why_ended(artifact, job, state)
    store.record_failure(
        artifact,
        {
            "reason": reason,
            "traceback": (failure or {}).get("traceback", ""),
            "state": state.state,
            "job": job.job,
        },
    )
    return True


class Succession(Listener):
    """A listener of a run without Slurm: what it makes is its own, and no job's that is over.

    Otherwise a job that ended unheard of would be taken for a failure of what comes now, and its log for the
    log of that. Until an artifact's turn comes, the reason and the log of its job are kept.
    """

    def __init__(self, store: Store, artifacts: Iterable[Artifact]):
        """Ask Slurm once more of the artifacts' jobs; without an answer, what it said last counts."""
        self._store = store
        if jobs := ledger.jobs_of(store, artifacts):
            with contextlib.suppress(SlurmError):
                refresh(store, jobs)
        for artifact in jobs:
            job = ledger.job_of(store, artifact)
            if job is not None and job.state not in LIVE:
                ledger.record(store, artifact, job.model_copy(update={"explained": True}))

    def started(self, artifact: Artifact) -> None:
        """Drop the note of a job that is over."""
        job = ledger.job_of(self._store, artifact)
        if job is not None and job.state not in LIVE:
            ledger.forget(self._store, artifact)


def why_ended(artifact: Artifact, job: JobRecord, state: JobState) -> str:
    """One line on why a job ended without a result, and what to do."""
    name = f"job {job.job}"
    again = "`retry --failed` goes on from its last checkpoint"
    if state.state == "OUT_OF_MEMORY":
        given = job.memory or "the cluster's default"
        return f"out of memory ({name} was given {given}); raise memory of kind {artifact.kind}"
    if state.state == "TIMEOUT":
        return f"out of time ({name} was given {job.minutes} min); raise time of kind {artifact.kind}"
    if state.state == "CANCELLED":
        return f"cancelled ({name}{', by user ' + state.user if state.user else ''}); {again}"
    if state.state in ("NODE_FAIL", "BOOT_FAIL"):
        return f"its node was lost ({name}{' on ' + state.node if state.node else ''}); {again}"
    if state.state == "PREEMPTED":
        return f"preempted ({name}); {again}"
    if state.state in ("UNKNOWN", "MISSING"):
        return f"{name} is gone, and Slurm's accounting does not say why; see its log"
    number = state.signal or (state.exit_code - 128 if state.exit_code > 128 else 0)
    if number:
        return f"crashed: killed by signal {number} {SIGNAL_NAMES.get(number, '')}".rstrip() + f" ({name})"
    if state.state == "COMPLETED":
        return f"{name} ended without a result; see its log"
    return (
        f"crashed: exit code {state.exit_code} ({name}, {state.state.lower().replace('_', ' ')}); see its log"
    )
