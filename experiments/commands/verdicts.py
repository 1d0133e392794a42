"""`verdicts`: what the stored numbers say of each claim."""

from __future__ import annotations

import argparse
import sys

from experiments.commands.stored import chosen_requests, not_run
from experiments.commands.wiring import Wiring
from experiments.records.collect import table_run
from experiments.records.results import TableRun
from experiments.store import Store


def verdicts(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the verdicts on an experiment, or on all of the store: the latest run of each."""
    store = Store(options.store)
    latest: dict[str, TableRun] = {}
    requests = chosen_requests(options, wiring, store)
    for request in requests:
        name = request.plan.experiment.name
        if name not in latest and options.profile in (None, request.plan.profile.name):
            latest[name] = table_run(store, request)
    if not latest:
        raise not_run(options, options.experiment, [request.plan.profile.name for request in requests])
    runs = sorted(latest.values(), key=lambda run: run.experiment.place)
    sys.stdout.write(wiring.verdict_exporters[options.format](runs))
    return 0
