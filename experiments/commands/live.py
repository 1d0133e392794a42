"""Keeps the pages and MLflow up to date during a run."""

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
"""Minimum interval between builds while only progress is reported."""

PAUSE = 20
"""Pause between builds as a multiple of a build's duration: pages take at most a twentieth of a run."""

log = logging.getLogger(__name__)


class LiveReport:
    """A listener that rebuilds the pages and sends finished rows to MLflow."""

    def __init__(self, store: Store, wiring: Wiring, requests: Sequence[StoredRequest]):
        self._store, self._wiring, self._requests = store, wiring, requests
        self._built = self._pause = 0.0

    def __call__(self, event: Event) -> None:
        """Update pages and MLflow after an event; progress alone updates them only occasionally."""
        if isinstance(event, Waiting):
            return
        if isinstance(event, Finished):
            self.track(event.artifact.name)
        pause = max(REPORT_EVERY_SECONDS * isinstance(event, Progress), self._pause)
        if time.monotonic() - self._built >= pause:
            self.rebuild()

    def rebuild(self) -> None:
        """Build the pages; errors are logged, because a failing page must not cost hours of training."""
        started = time.monotonic()
        try:
            self._wiring.build_report(self._store.root, load_runs(self._store))
        except OSError as error:
            log.warning("the report could not be written now (%s); the run continues", error)
        except Exception:
            log.exception("the report could not be built now; the run continues")
        self._built = time.monotonic()
        self._pause = PAUSE * (self._built - started)

    def track(self, measurement: str | None = None) -> None:
        """Send finished rows to MLflow: those with `measurement`, or all."""
        for request in self._requests:
            if measurement is None or any(measurement in row.measurements for row in request.rows):
                delivery.sync(self._store, load_run(self._store, request))
