"""From options to stored requests: shared by the commands that look at what was asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from experiments.commands.wiring import Wiring
from experiments.executors.queue import SlurmError
from experiments.executors.watch import refresh
from experiments.registry import discover, pick
from experiments.requests import Request, stored_requests
from experiments.store import Store, StoreError


def chosen_requests(options: argparse.Namespace, wiring: Wiring, store: Store) -> list[Request]:
    """The stored requests of the experiment that the options name, or all; the latest first.

    Raises:
        StoreError: there is none.
    """
    requests, name = stored_requests(store), None
    if options.experiment is not None:
        name = pick(discover(wiring.spec_packages), options.experiment).name
        requests = [request for request in requests if request.plan.experiment.name == name]
    if not requests:
        raise StoreError(
            f"store {store.root}: {name or 'nothing'} was {'not ' if name else ''}run here; "
            f"try: python -m experiments run {name or 'table4'}"
        )
    return requests


def refresh_all(store: Store, requests: Iterable[Request]) -> None:
    """Bring the store up to what Slurm knows of the requests' jobs; says so if Slurm does not answer."""
    artifacts = dict.fromkeys(artifact for request in requests for artifact in request.plan.artifacts)
    try:
        refresh(store, artifacts)
    except SlurmError as error:
        print(f"Slurm does not answer ({error}); shown is what the store knows", file=sys.stderr)
