"""`cancel`: ends the cluster jobs of an experiment, but for those that another one waits for."""

from __future__ import annotations

import argparse

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
    everything = [*stored_requests(store), *ledger.submitted(store)]
    chosen = {
        artifact
        for request in everything
        if request.plan.experiment.name == name
        for artifact in request.plan.artifacts
    }
    live = _live(store, [artifact for request in everything for artifact in request.plan.artifacts])
    ours = {artifact: job for artifact, job in live.items() if artifact in chosen}
    needed = {upstream for artifact in live if artifact not in ours for upstream in _all_inputs(artifact)}
    kept = [artifact for artifact in ours if artifact in needed]
    ended = {artifact: job for artifact, job in ours.items() if artifact not in needed}
    slurm.cancel(ended.values())
    for artifact, job in ended.items():
        print(f"cancelled job {job.job}: {artifact.label} ({artifact.name})")
    for artifact in kept:
        print(f"kept, another experiment waits for it: {artifact.label} ({artifact.name})")
    if not ours:
        print(f"no job of {name} is queued or running")
    return 0


def _live(store: Store, artifacts: list[Artifact]) -> dict[Artifact, JobRecord]:
    jobs = ledger.jobs_of(
        store, [artifact for artifact in dict.fromkeys(artifacts) if not store.is_done(artifact)]
    )
    states = job_states(job.job for job in jobs.values())
    return {artifact: job for artifact, job in jobs.items() if states[job.job].live}


def _all_inputs(artifact: Artifact) -> set[Artifact]:
    direct = set(artifact.inputs.values())
    return direct.union(*(_all_inputs(upstream) for upstream in direct))
