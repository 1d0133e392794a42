"""`results`: prints the stored numbers, one per line."""

from __future__ import annotations

import sys
from typing import Literal

from experiments.commands.options import DEFAULT_STORE, RunProfile, StorePath
from experiments.commands.stored import KnownExperiment, chosen_requests, concluded
from experiments.commands.wiring import Wired
from experiments.records import load_run
from experiments.store import Store


def results(
    experiment: KnownExperiment,
    /,
    *,
    profile: RunProfile = None,
    store: StorePath = DEFAULT_STORE,
    format: Literal["csv", "json"] = "csv",
    wiring: Wired,
) -> int:
    """Print the numbers of the latest run of an experiment (at `--profile`), references last."""
    opened = Store(store)
    requests = chosen_requests(opened, wiring.registry, experiment, profile)
    run = load_run(opened, requests[0])
    sys.stdout.write(wiring.export(run.frame, format))
    return concluded([run])
