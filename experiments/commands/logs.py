"""`logs`: prints the log of an artifact's job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from experiments.commands.options import DEFAULT_STORE, Positive, StorePath
from experiments.executors.ledger import JobRecord, job_of, submissions
from experiments.requests import stored_requests
from experiments.store import Store, StoredArtifact, StoreError
from sftok.config import ConfigError, choices_hint


def logs(
    artifact: Annotated[str, Parameter(help="name of the artifact as in `status`, or its beginning")],
    /,
    *,
    lines: Annotated[Positive | None, Parameter(help="print only the last N lines (default: all)")] = None,
    store: StorePath = DEFAULT_STORE,
) -> None:
    """Print the log of an artifact's latest job or, without a job, why it failed."""
    opened = Store(store)
    found = _named(artifact, opened)
    job = job_of(opened, found)
    if job is not None:
        text = read_log(opened, job)
        if text is None:
            print(f"job {job.job} has not printed anything yet", file=sys.stderr)
            return
    else:
        failure = opened.failure(found)
        if failure is None:
            raise StoreError(f"{found.name} has no log: no cluster job made it, and it did not fail")
        text = failure["traceback"] or failure["reason"]
    printed = text.splitlines()
    print("\n".join(printed if lines is None else printed[-lines:]))


def read_log(store: Store, job: JobRecord) -> str | None:
    """The log of a job; None if it has not printed anything yet."""
    path: Path = store.root / job.log
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _named(name: str, store: Store) -> StoredArtifact:
    requests = [*submissions(store).values(), *stored_requests(store.root)]
    artifacts = {artifact.name: artifact for request in requests for artifact in request.artifacts}
    found = [artifact for full, artifact in artifacts.items() if full.startswith(name)]
    if len(found) != 1:
        problem = "matches several artifacts" if found else "no such artifact"
        choices = [each.name for each in found] or artifacts
        raise ConfigError(f"{name!r}: {problem}; {choices_hint(name, choices)}")
    return found[0]
