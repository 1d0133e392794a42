"""`cancel`: ends the cluster jobs of an experiment, but for those that another one waits for."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from experiments.artifacts import Artifact
from experiments.commands.stored import chosen_requests
from experiments.commands.wiring import Wiring
from experiments.executors import ledger, slurm
from experiments.executors.ledger import JobRecord
from experiments.executors.queue import job_states
from experiments.planning.requests import stored_requests
from experiments.store import Store


def cancel(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Cancel; what is finished stays, what runs checkpoints first."""
    store = Store(options.store)
    name = chosen_requests(options, wiring, store)[0].plan.experiment.name
    # All requests of that name: other profiles, seeds and values have jobs of their own.
    submissions = ledger.submissions(store)
    everything = [request for request in stored_requests(store)] + list(submissions.values())
    chosen = dict.fromkeys(
        artifact for work in everything if work.experiment == name for artifact in work.artifacts
    )
    ours = _live(store, chosen)
    awaited = {
        artifact
        for submission, work in submissions.items()
        if work.experiment != name and not submission.withdrawn.exists()
        for artifact in work.artifacts
    }
    kept = [artifact for artifact in ours if artifact in awaited]
    ended = {artifact: job for artifact, job in ours.items() if artifact not in awaited}
    slurm.cancel(ended.values())
    for submission, work in submissions.items():
        if work.experiment == name:
            submission.withdrawn.touch()
    for artifact, job in ended.items():
        print(f"cancelled job {job.job}: {artifact.label} ({artifact.name})")
    for artifact in kept:
        print(f"kept, another experiment waits for it: {artifact.label} ({artifact.name})")
    if not ours:
        print(f"no job of {name} is queued or running")
    return 0


def _live(store: Store, artifacts: Iterable[Artifact]) -> dict[Artifact, JobRecord]:
    jobs = ledger.jobs_of(store, [artifact for artifact in artifacts if not store.is_done(artifact)])
    states = job_states(job.job for job in jobs.values())
    return {artifact: job for artifact, job in jobs.items() if states[job.job].live}
