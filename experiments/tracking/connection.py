"""The way to MLflow: a SQLite file in the store, or the server that `MLFLOW_TRACKING_URI` names."""

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
"""Set always: nothing about a run leaves the machine but to the tracking server that the user named."""

DEFAULTS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Set unless the user did: by its own defaults MLflow waits for minutes for a server that is away."""


class AddressError(ValueError):
    """No database can have that address."""


def server() -> str | None:
    """The tracking server (or other place) that the user named, if any."""
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def tracking_uri(store: Store) -> str:
    """Where the runs of `store` are delivered to."""
    return server() or _sqlite(store.root / DATABASE)


def _sqlite(path: Path) -> str:
    """The address of a SQLite file.

    Raises:
        AddressError: MLflow would look elsewhere; it decodes an address in one place and not in another.
    """
    if re.search(r"\?|%[0-9a-fA-F]{2}", str(path)):
        raise AddressError(
            f"its database cannot be at {path} because of the ? or %; move the store, or set "
            "MLFLOW_TRACKING_URI to a server"
        )
    return f"sqlite:///{path}"


def connect(store: Store) -> MlflowClient:
    """A client of that place, whose tables are made first if it is a file that is not there yet."""
    os.environ.update(ENVIRONMENT)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Here, because its import is slow and needed only when there is something to deliver.
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    if not server() and not (store.root / DATABASE).exists():
        # Aside, and then moved: killed while it makes its tables, MLflow leaves a file it can never open.
        draft = store.root / f".{DATABASE}.new"
        draft.unlink(missing_ok=True)
        MlflowClient(tracking_uri=_sqlite(draft)).search_experiments()
        draft.replace(store.root / DATABASE)
    return MlflowClient(tracking_uri=tracking_uri(store))
