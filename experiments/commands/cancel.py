"""`cancel`: cancels the cluster jobs of an experiment, except those that another experiment waits for."""

from __future__ import annotations

from experiments.commands.options import DEFAULT_STORE, StorePath
from experiments.commands.stored import KnownExperiment, chosen_requests
from experiments.commands.wiring import Wired
from experiments.executors import ledger
from experiments.executors.ledger import JobRecord
from experiments.executors.queue import job_states
from experiments.requests import stored_requests
from experiments.store import Store, StoredArtifact


def cancel(experiment: KnownExperiment, /, *, store: StorePath = DEFAULT_STORE, wiring: Wired) -> None:
    """Cancel the jobs; finished artifacts are kept, and running jobs write a checkpoint first."""
    # Imported here, so that wrong options are reported before submitit is loaded.
    from experiments.executors import slurm

    opened = Store(store)
    name = chosen_requests(opened, wiring.registry, experiment)[0].name
    # All requests of that name, because other profiles, seeds and values have their own jobs.
    submissions = ledger.submissions(opened)
    everything = [*stored_requests(opened.root), *submissions.values()]
    ours = _live(
        opened, {each.name: each for asked in everything if asked.name == name for each in asked.artifacts}
    )
    awaited = {
        artifact.name
        for submission, request in submissions.items()
        if request.name != name and not submission.withdrawn.exists()
        for artifact in request.artifacts
    }
    kept = [artifact for artifact in ours if artifact.name in awaited]
    ended = {artifact: job for artifact, job in ours.items() if artifact.name not in awaited}
    slurm.cancel(ended.values())
    for submission, request in submissions.items():
        if request.name == name:
            submission.withdrawn.touch()
    for artifact, job in ended.items():
        print(f"canceled job {job.job}: {artifact.label} ({artifact.name})")
    for artifact in kept:
        print(f"kept, because another experiment waits for it: {artifact.label} ({artifact.name})")
    if not ours:
        print(f"no job of {name} is queued or running")


def _live(store: Store, artifacts: dict[str, StoredArtifact]) -> dict[StoredArtifact, JobRecord]:
    jobs = ledger.jobs_of(store, [each for each in artifacts.values() if not store.is_done(each)])
    states = job_states(job.job for job in jobs.values())
    return {artifact: job for artifact, job in jobs.items() if states[job.job].live}
