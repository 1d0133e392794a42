"""`report`: rebuilds the pages from the stored results."""

from __future__ import annotations

from experiments.commands.options import DEFAULT_STORE, StorePath
from experiments.commands.stored import Chosen, KnownExperiment, chosen_requests, concluded
from experiments.commands.wiring import Wired
from experiments.records import load_runs
from experiments.records.study_results import stored_studies
from experiments.store import Store


def report(
    experiment: KnownExperiment | None = None, /, *, store: StorePath = DEFAULT_STORE, wiring: Wired
) -> int:
    """Rebuild all pages and print the path of the index, or of EXPERIMENT's page."""
    opened = Store(store)
    page = "index"
    evaluated = wiring.build_evaluations(opened.root)
    requested = any((opened.root / "requests").glob("*.json"))
    if experiment is None and evaluated is not None and not requested:
        print(evaluated)
        return 0
    requests = Chosen()
    if experiment is not None or requested or not stored_studies(opened.root):
        requests = chosen_requests(opened, wiring.registry, experiment)
        page = requests[0].name if experiment else page
    runs = load_runs(opened)
    print(wiring.build_report(opened.root, runs).with_name(f"{page}.html"))
    shown = [run for run in runs if experiment is None or run.experiment.name == page]
    return concluded(shown, requests.unreadable)
