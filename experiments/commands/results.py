"""`results`: the stored numbers, one a line."""

from __future__ import annotations

import argparse
import sys

from experiments.commands.stored import known_name
from experiments.commands.wiring import Wiring
from experiments.planning.requests import stored_requests
from experiments.records.collect import table_runs
from experiments.store import Store, StoreError


def results(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the flat rows of the latest run of an experiment, references last."""
    store = Store(options.store)
    name = known_name(options.experiment, wiring, stored_requests(store))
    for run in table_runs(store):
        if run.experiment.name == name and options.profile in (None, run.profile):
            rows = [row for row_run in run.rows for row in row_run.results] + list(run.references)
            sys.stdout.write(wiring.exporters[options.format](rows))
            return 0
    at = f" at profile {options.profile}" if options.profile else ""
    raise StoreError(
        f"store {store.root}: {name} was not run here{at}; try: python -m experiments run {name}"
    )
