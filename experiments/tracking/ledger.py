"""Record in the store of what was delivered to MLflow."""

from __future__ import annotations

import hashlib
from typing import Any

from experiments.store import Store, StoreError, read_json, write_json
from experiments.tracking.connection import DATABASE, server, tracking_uri

LEDGER = "mlflow-delivered.json"


class Ledger:
    """Deliveries by destination: a cache, so that MLflow is not imported when nothing is new."""

    def __init__(self, store: Store):
        self._path = store.root / LEDGER
        # A hash, because the address of a tracking server may hold a password.
        self._destination = hashlib.sha256(tracking_uri(store).encode()).hexdigest()[:16]
        self._database = None if server() else store.root / DATABASE

    def __contains__(self, delivery: str) -> bool:
        lost = self._database is not None and not self._database.exists()
        return not lost and delivery in self._read().get(self._destination, ())

    def add(self, delivery: str) -> None:
        """Record a delivery."""
        known = self._read()
        known[self._destination] = sorted({*known.get(self._destination, ()), delivery})
        write_json(self._path, known)

    def stand(self, request: str, standing: str) -> None:
        """Record the latest status sent for a request's parent run."""
        known = self._read()
        others = [each for each in known.get(self._destination, ()) if not each.startswith(f"{request}=")]
        write_json(self._path, known | {self._destination: sorted([*others, f"{request}={standing}"])})

    def _read(self) -> dict[str, Any]:
        try:
            return read_json(self._path) or {}
        except StoreError:
            return {}
