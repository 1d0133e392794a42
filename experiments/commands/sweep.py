"""`sweep`: an experiment of the command line's own, over a grid or a list of configuration values."""

from __future__ import annotations

import argparse

from experiments.commands import executors
from experiments.commands.planning import plan_all
from experiments.commands.run import carry_out
from experiments.commands.wiring import Wiring
from experiments.registry import discover, pick
from experiments.sweeps import combinations, refuse_incomparable, swept_experiment


def sweep(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Make what the combinations need; the request is stored under the sweep's own name."""
    executors.check_options(options)
    base = pick(discover(wiring.spec_packages), options.experiment)
    experiment = swept_experiment(base, combinations(options.grid, options.list))
    plans, data = plan_all(options, [experiment], check=refuse_incomparable)
    print(f"{experiment.name}: {len(experiment.rows)} rows; this name is for status, results, retry ...")
    return carry_out(options, argv, wiring, plans, data)
