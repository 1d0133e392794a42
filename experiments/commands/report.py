"""`report`: the pages, from what is stored."""

from __future__ import annotations

import argparse

from experiments.commands.wiring import Wiring
from experiments.records.collect import table_runs
from experiments.records.study_results import stored_studies
from experiments.store import Store, StoreError


def report(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Rebuild all pages and print where they are."""
    store = Store(options.store)
    runs = table_runs(store)
    if not runs and not stored_studies(store.root):
        raise StoreError(f"store {store.root}: nothing was run here; try: python -m experiments run table4")
    print(wiring.build_report(store.root, runs))
    return 0
