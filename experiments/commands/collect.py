"""`collect`: takes in what cluster jobs made since: delivers it to the tracker and rebuilds the pages."""

from __future__ import annotations

import argparse
import sys

from experiments.commands.stored import chosen_requests, refresh_all
from experiments.commands.wiring import Wiring
from experiments.records.collect import table_run, table_runs
from experiments.store import Store
from experiments.tracking import delivery


def collect(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Collect; the exit code is 1 if something failed."""
    store = Store(options.store)
    requests = chosen_requests(options, wiring, store)
    refresh_all(store, [artifact for request in requests for artifact in request.plan.artifacts])
    failed = 0
    for request in requests:
        try:
            delivery.deliver(store, request, ask=True)
        except delivery.DeliveryError as error:
            failed += 1
            print(error, file=sys.stderr)
        run = table_run(store, request)
        done = sum(artifact.status == "done" for artifact in run.artifacts)
        print(f"{run.experiment.name}, profile {run.profile}: {done} of {len(run.artifacts)} artifacts done")
        for artifact in run.artifacts:
            if artifact.status == "failed":
                failed += 1
                print(
                    f"failed: {artifact.label} ({artifact.kind}-{artifact.key}): {artifact.error}",
                    file=sys.stderr,
                )
    print(f"report: {wiring.build_report(store.root, table_runs(store))}")
    return 1 if failed else 0
