"""Delivers finished rows to MLflow.

The store is what counts and MLflow shows it: rows are imported from the store, so a tracking server that is
away loses nothing, and the next `sync` delivers. By default MLflow is a SQLite file in the store; look at it
with `mlflow ui --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator

from experiments import locks
from experiments.planning.requests import Request
from experiments.records.collect import table_run
from experiments.records.results import RowRun
from experiments.store import Store
from experiments.tracking.connection import DATABASE, AddressError, server
from experiments.tracking.ledger import Ledger
from experiments.tracking.runs import RUNNING, Tracker, request_key, standing

WAIT_SECONDS, POLL_SECONDS = 60.0, 0.2

log = logging.getLogger(__name__)


class DeliveryError(RuntimeError):
    """The tracker cannot be used."""


def sync(store: Store, request: Request, *, ask: bool = False) -> int:
    """Import all finished rows of `request` that MLflow does not have yet; returns how many were delivered.

    What was delivered before is only remembered, unless MLflow is to be asked: a server may have lost it.
    Never raises for a tracker that cannot be used: one line says so.
    """
    try:
        return deliver(store, request, ask=ask)
    except DeliveryError as error:
        log.warning("%s", error)
        return 0


def deliver(store: Store, request: Request, *, ask: bool = False) -> int:
    """`sync`, for who must know that it failed.

    Raises:
        DeliveryError: the tracker cannot be used; the message has the reason and what to do.
    """
    try:
        return _deliver(store, request, ask)
    except Exception as error:
        # Whatever the tracker suffers from must not end a run: the numbers are in the store.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeliveryError(f"MLflow: not delivered, {_remedy(store, error)} ({reason})") from error


def _deliver(store: Store, request: Request, ask: bool) -> int:
    run = table_run(store, request)
    ledger = Ledger(store)
    done = {_delivery(request, row): row for row in run.rows if row.status == "done"}
    # A parent that is running needs no word; one that ended without a new row does, as by a late failure.
    ended = f"{request_key(request)}={standing(run)}" if standing(run) != RUNNING else None
    if not ask and all(delivery in ledger for delivery in (*done, *filter(None, [ended]))):
        return 0
    delivered = 0
    with _alone(store):
        tracker = Tracker(store, request, run)
        for delivery, row in done.items():
            delivered += tracker.deliver(delivery, row)
            ledger.add(delivery)
        tracker.close()
        ledger.stand(request_key(request), standing(run))
    return delivered


def _remedy(store: Store, error: Exception) -> str:
    if isinstance(error, AddressError):
        return "nor will it be before that is mended"
    if not server() and re.search("file is not a database|malformed", str(error)):
        return f"move {store.root / DATABASE} away, and `collect` delivers all rows anew"
    return "the next run of the command will"


def _delivery(request: Request, row: RowRun) -> str:
    measured = "+".join(part.key for part in (row.evaluation, *row.analyses))
    return f"{request_key(request)}/{row.row}/{row.seed}/{measured}"


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """One process at a time: several that create MLflow's database at once break it.

    Raises:
        TimeoutError: another process is at it for too long.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with locks.lock(store.root / "locks" / "mlflow.json") as ours:
            if ours:
                yield
                return
        if time.monotonic() > deadline:
            raise TimeoutError("another process is still delivering")
        time.sleep(POLL_SECONDS)
