"""`retry --failed`: queues again what failed on the cluster, and what that blocked."""

from __future__ import annotations

import argparse

from experiments.artifacts import KIND_VERSIONS
from experiments.commands.executors import describe
from experiments.commands.stored import chosen_requests
from experiments.commands.wiring import Wiring
from experiments.executors import slurm
from experiments.executors.ledger import last_submission
from experiments.executors.resources import Cluster, load_cluster
from experiments.store import Store, StoreError


def retry(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Submit again with today's code; a `--cluster` file replaces the resources of the last submission."""
    store = Store(options.store)
    request = chosen_requests(options, wiring, store)[0]
    experiment, profile = request.plan.experiment.name, request.plan.profile.name
    submission = last_submission(store, experiment, profile)
    if submission is None:
        raise StoreError(
            f"{experiment} at profile {profile} was never submitted to a cluster from here; "
            f"run it again with: {request.command}"
        )
    outdated = [each for each in request.plan.artifacts if each.version != KIND_VERSIONS[each.kind]]
    if outdated:
        raise StoreError(
            f"{experiment} at profile {profile}: what makes a {outdated[0].kind} has changed since this was "
            f"asked for; ask again, what is finished and unchanged stays: {request.command}"
        )
    cluster = Cluster.restore(submission.cluster() or {})
    if options.cluster is not None:
        cluster = load_cluster(options.cluster, profile)
    store.prepare()
    slurm.check(request.plan.artifacts, cluster, store.root / "submissions")
    submitted = slurm.submit(request, store, cluster)
    if not submitted.jobs:
        print(f"nothing of {experiment} failed")
        return 0
    print(describe(submitted, experiment, options.store))
    return 0
