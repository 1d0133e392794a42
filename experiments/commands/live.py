"""Keeps the pages and MLflow up to date while results come."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from experiments.commands.wiring import Wiring
from experiments.executors.events import Event, Finished, Progress, Waiting
from experiments.records import load_run, load_runs
from experiments.requests import StoredRequest
from experiments.store import Store
from experiments.tracking import delivery

REPORT_EVERY_SECONDS = 60.0

log = logging.getLogger(__name__)


class LiveReport:
    """A listener that rebuilds the pages and delivers rows of its requests to MLflow."""

    def __init__(self, store: Store, wiring: Wiring, requests: Sequence[StoredRequest]):
        self._store, self._wiring, self._requests = store, wiring, requests
        self._measurements = {name for each in requests for row in each.rows for name in row.measurements}
        self._built = 0.0

    def __call__(self, event: Event) -> None:
        """Show what happened; progress only now and then."""
        if isinstance(event, Waiting):
            return
        if isinstance(event, Progress) and time.monotonic() - self._built <= REPORT_EVERY_SECONDS:
            return
        if isinstance(event, Finished) and event.artifact.name in self._measurements:
            self.track()
        self.try_rebuild()

    def rebuild(self) -> None:
        """Build the pages now."""
        self._built = time.monotonic()
        self._wiring.build_report(self._store.root, load_runs(self._store))

    def try_rebuild(self) -> None:
        """Build the pages; hours of training must not be lost because a page could not be drawn."""
        try:
            self.rebuild()
        except OSError as error:
            log.warning("the report could not be written now (%s); the run continues", error)
        except Exception:
            log.exception("the report could not be built now; the run continues")

    def track(self) -> None:
        """Deliver finished rows to MLflow."""
        for request in self._requests:
            delivery.sync(self._store, load_run(self._store, request))
