"""The connection to MLflow: a SQLite file in the store, or the server in `MLFLOW_TRACKING_URI`."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE, FILES = "mlflow.db", "mlflow-artifacts"

ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
"""Always set, so that nothing leaves the machine except to the tracking server that the user names."""

DEFAULTS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Set unless the user sets them; MLflow's defaults wait for minutes for an unreachable server."""


class AddressError(ValueError):
    """The database cannot have this address."""


def server() -> str | None:
    """The tracking server (or other address) that the user set, if any."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def tracking_uri(store: Store) -> str:
    """The address to which the runs of `store` are sent."""
    return server() or _sqlite(store.root / DATABASE)


def _sqlite(path: Path) -> str:
    """The address of a SQLite file.

    Raises:
        AddressError: MLflow decodes the address inconsistently, and would look elsewhere.
    """
    if re.search(r"\?|%[0-9a-fA-F]{2}", str(path)):
        raise AddressError(
            f"its database cannot be at {path} because of the ? or %; move the store, or set "
            "MLFLOW_TRACKING_URI to a server"
        )
    return f"sqlite:///{path}"


def connect(store: Store) -> MlflowClient:
    """Connect to MLflow; a missing SQLite file is created with its tables first."""
    os.environ.update(ENVIRONMENT)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Imported here, because the import is slow and needed only when there is something to deliver.
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if not server() and not (store.root / DATABASE).exists():
        # Created aside and then moved, because MLflow can never open a file whose creation was interrupted.
        draft = store.root / f".{DATABASE}.new"
        draft.unlink(missing_ok=True)
        MlflowClient(tracking_uri=_sqlite(draft)).search_experiments()
        draft.replace(store.root / DATABASE)
    return MlflowClient(tracking_uri=tracking_uri(store))
