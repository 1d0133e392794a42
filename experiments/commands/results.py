"""`results`: the stored numbers, one a line."""

from __future__ import annotations

import argparse
import sys

from experiments.collect import table_runs
from experiments.commands.planning import chosen_experiment
from experiments.commands.wiring import Wiring
from experiments.store import Store, StoreError


def results(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the flat rows of the latest run of an experiment, references last."""
    experiment = chosen_experiment(options, wiring.spec_packages)
    store = Store(options.store)
    for run in table_runs(store):
        if run.experiment.name == experiment.name and options.profile in (None, run.profile):
            rows = [row for row_run in run.rows for row in row_run.results] + list(run.references)
            sys.stdout.write(wiring.exporters[options.format](rows))
            return 0
    at = f" at profile {options.profile}" if options.profile else ""
    raise StoreError(
        f"store {store.root}: {experiment.name} was not run here{at}; "
        f"try: python -m experiments run {experiment.name}"
    )
