"""Sends finished rows to MLflow.

Rows are imported from the store, so nothing is lost while a tracking server is unreachable: the next delivery
sends them. By default MLflow is a SQLite file in the store; view it with
`mlflow ui --backend-store-uri sqlite:///runs/mlflow.db --host 127.0.0.1`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator

from experiments.records import RowState, Run
from experiments.store import Store, StoreError, locks
from experiments.tracking.connection import DATABASE, AddressError, server
from experiments.tracking.ledger import Ledger
from experiments.tracking.runs import RUNNING, Tracker, request_key, standing

WAIT_SECONDS, POLL_SECONDS = 60.0, 0.2

log = logging.getLogger(__name__)


class DeliveryError(RuntimeError):
    """Something could not be delivered."""


def sync(store: Store, run: Run, *, ask: bool = False) -> int:
    """Like `deliver`, but only logs failures; returns the number of delivered rows."""
    try:
        return deliver(store, run, ask=ask)
    except DeliveryError as error:
        log.warning("%s", error)
        return 0


def deliver(store: Store, run: Run, *, ask: bool = False) -> int:
    """Send all finished rows of `run` that MLflow does not have yet; returns the number of delivered rows.

    The store remembers deliveries. With `ask`, MLflow itself is queried, because a server may have lost some.

    Raises:
        DeliveryError: the tracker cannot be used, or a row is damaged; the message says why and what to do.
    """
    try:
        return _deliver(store, run, ask)
    except StoreError as error:
        raise DeliveryError(f"MLflow: a row was not delivered: {error}") from error
    except Exception as error:
        # Problems with the tracker must not end a run, because the numbers are in the store.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeliveryError(f"MLflow: not delivered, {_remedy(store, error)} ({reason})") from error


def _deliver(store: Store, run: Run, ask: bool) -> int:
    ledger, key = Ledger(store), request_key(run)
    done = {_delivery(key, row): row for row in run.rows if row.status == "done"}
    # A running parent needs no update; one that ended without a new row, e.g. by a late failure, does.
    ended = {f"{key}={standing(run)}"} - {f"{key}={RUNNING}"}
    if not ask and all(delivery in ledger for delivery in done.keys() | ended):
        return 0
    delivered, damaged = 0, None
    with _alone(store):
        tracker = Tracker(store, run)
        for delivery, row in done.items():
            try:
                delivered += tracker.deliver(delivery, row)
            except StoreError as error:
                damaged = damaged or error
            else:
                ledger.add(delivery)
        tracker.close()
        ledger.stand(key, standing(run))
    if damaged is not None:
        raise damaged
    return delivered


def _remedy(store: Store, error: Exception) -> str:
    if isinstance(error, AddressError):
        return "and it will not be until this is fixed"
    if not server() and re.search("file is not a database|malformed", str(error)):
        return f"move {store.root / DATABASE} away, and `collect` delivers all rows again"
    return "the next run of the command tries again"


def _delivery(key: str, row: RowState) -> str:
    measured = "+".join(part.key for part in row.measurements)
    return f"{key}/{row.row}/{row.seed}/{measured}"


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Allow only one process at a time, because creating MLflow's database concurrently breaks it.

    Raises:
        TimeoutError: another process takes too long.
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
