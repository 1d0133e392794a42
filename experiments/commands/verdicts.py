"""`verdicts`: prints the verdict on each claim from the stored numbers."""

from __future__ import annotations

import sys
from typing import Literal

from experiments.commands.options import DEFAULT_STORE, RunProfile, StorePath
from experiments.commands.stored import KnownExperiment, chosen_requests, concluded
from experiments.commands.wiring import Wired
from experiments.records import load_run
from experiments.store import Store


def verdicts(
    experiment: KnownExperiment | None = None,
    /,
    *,
    profile: RunProfile = None,
    store: StorePath = DEFAULT_STORE,
    format: Literal["text", "csv", "json", "markdown"] = "text",
    wiring: Wired,
) -> int:
    """Print the verdicts on the latest run (at `--profile`) of one experiment or of each in the store."""
    opened = Store(store)
    requests = chosen_requests(opened, wiring.registry, experiment, profile)
    latest = {request.name: request for request in reversed(requests)}
    runs = [
        load_run(opened, each) for each in sorted(latest.values(), key=lambda each: each.experiment.place)
    ]
    sys.stdout.write(wiring.export_verdicts(runs, format))
    return concluded(runs, requests.unreadable)
