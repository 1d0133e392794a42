"""`collect`: updates the report with new results of cluster jobs and sends them to MLflow."""

from __future__ import annotations

import sys

from experiments.commands.options import DEFAULT_STORE, StorePath
from experiments.commands.stored import KnownExperiment, chosen_requests, concluded, refresh_all
from experiments.commands.wiring import Wired
from experiments.records import load_run, load_runs
from experiments.store import Store
from experiments.tracking import delivery


def collect(
    experiment: KnownExperiment | None = None, /, *, store: StorePath = DEFAULT_STORE, wiring: Wired
) -> int:
    """Update the report and send missing results to MLflow; returns 1 if anything failed."""
    opened = Store(store)
    requests = chosen_requests(opened, wiring.registry, experiment)
    refresh_all(opened, [artifact for request in requests for artifact in request.artifacts])
    runs = [load_run(opened, request) for request in requests]
    undelivered = 0
    for run in runs:
        try:
            delivery.deliver(opened, run, ask=True)
        except delivery.DeliveryError as error:
            undelivered += 1
            print(error, file=sys.stderr)
        done = sum(artifact.status == "done" for artifact in run.artifacts)
        what = f"{run.experiment.name}, profile {run.request.profile}"
        print(f"{what}: {done} of {len(run.artifacts)} artifacts done")
    code = concluded(runs, requests.unreadable)
    print(f"report: {wiring.build_report(opened.root, load_runs(opened))}")
    return 1 if undelivered else code
