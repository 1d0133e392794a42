"""`retry --failed`: resubmits artifacts that failed on the cluster and those they blocked."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from experiments.commands.cluster import describe
from experiments.commands.options import DEFAULT_STORE, ClusterFile, StorePath
from experiments.commands.stored import KnownExperiment, chosen_requests
from experiments.commands.wiring import Wired
from experiments.store import Store, StoreError
from sftok.config import ConfigError


def retry(
    experiment: KnownExperiment,
    /,
    *,
    failed: Annotated[
        bool, Parameter(required=True, help="queue what failed or was canceled, and what it blocked")
    ],
    cluster: ClusterFile = None,
    store: StorePath = DEFAULT_STORE,
    wiring: Wired,
) -> None:
    """Resubmit with the current code; a `--cluster` file replaces the resources of the last submission."""
    from experiments.artifacts.base import load
    from experiments.executors import slurm
    from experiments.executors.ledger import last_submission
    from experiments.executors.resources import Cluster, load_cluster
    from experiments.specs.own_file import import_source

    opened = Store(store)
    requests = chosen_requests(opened, wiring.registry, experiment)
    submitted_before = ((each, last_submission(opened, each.name, each.profile)) for each in requests)
    request, submission = next((pair for pair in submitted_before if pair[1]), (requests[0], None))
    what = f"{request.name} at profile {request.profile}"
    if submission is None:
        raise StoreError(
            f"{what} was never submitted to a cluster from here; run it again with: {request.command}"
        )
    import_source(request.source, opened.root / "requests")
    try:
        artifacts = load(request.artifacts)
    except ConfigError as error:
        raise StoreError(f"{what}: {error}: {request.command}") from None
    resources = Cluster.restore(submission.cluster() or {})
    if cluster is not None:
        resources = load_cluster(cluster, request.profile)
    opened.prepare()
    missing = [each for each in artifacts.values() if not opened.is_done(each)]
    slurm.check(missing, resources, opened.root / "submissions")
    submitted = slurm.submit(request, opened, resources)
    if not submitted.jobs:
        print(f"{request.name} has no failed jobs")
        return
    print(describe(submitted, request.name, store))
