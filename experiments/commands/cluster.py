"""Submits a plan as cluster jobs and describes them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.options import DEFAULT_STORE
from experiments.requests import StoredRequest
from experiments.store import Store

if TYPE_CHECKING:
    from experiments.artifacts.base import Artifact
    from experiments.executors.resources import Cluster
    from experiments.executors.slurm import Submitted


def submit_all(
    requests: Sequence[StoredRequest], artifacts: Iterable[Artifact], store: Store, cluster: Cluster
) -> None:
    """Queue jobs for missing artifacts and print them; nothing is queued if Slurm would refuse any of them.

    Raises:
        SlurmError: Slurm would refuse a job, or does not answer.
    """
    from experiments.executors import slurm

    missing = [artifact for artifact in artifacts if not store.is_done(artifact)]
    slurm.check(missing, cluster, store.root / "submissions")
    # In order, because later requests depend on jobs that earlier ones have queued.
    for request in requests:
        request.save(store.root)
        print(describe(slurm.submit(request, store, cluster), request.name, store.root))


def describe(submitted: Submitted, experiment: str, store: Path) -> str:
    """Describe what was queued and which commands follow."""
    elsewhere = store.absolute() != DEFAULT_STORE.absolute()
    where = f"{experiment} --store {shlex.quote(str(store))}" if elsewhere else experiment
    lines = [
        f"  job {job.job}: {artifact.label} ({artifact.name})" for artifact, job in submitted.jobs.items()
    ]
    lines += [
        f"  job {job.job}, queued before: {artifact.label} ({artifact.name})"
        for artifact, job in submitted.in_flight.items()
    ]
    if not lines:
        return f"nothing to queue; update the report with: python -m experiments collect {where}"
    count = f"{len(submitted.jobs)} jobs queued; you can close this terminal"
    then = ", then ".join(f"python -m experiments {command} {where}" for command in ("status", "collect"))
    return "\n".join([*lines, count, f"next: {then}"])
