"""`results`: the stored numbers, one a line."""

from __future__ import annotations

import argparse
import sys

from experiments.commands.stored import known_name, not_run
from experiments.commands.wiring import Wiring
from experiments.planning.requests import stored_requests
from experiments.records.collect import table_runs
from experiments.store import Store


def results(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the flat rows of the latest run of an experiment, references last."""
    store = Store(options.store)
    name = known_name(options.experiment, wiring, stored_requests(store))
    runs = table_runs(store)
    for run in runs:
        if run.experiment.name == name and options.profile in (None, run.profile):
            rows = [row for row_run in run.rows for row in row_run.results] + list(run.references)
            sys.stdout.write(wiring.exporters[options.format](rows))
            return 0
    raise not_run(options, name, [run.profile for run in runs if run.experiment.name == name])
