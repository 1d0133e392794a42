"""`logs`: what the job of an artifact printed."""

from __future__ import annotations

import argparse
import sys

from experiments.artifacts import Artifact
from experiments.commands.wiring import Wiring
from experiments.executors.ledger import JobRecord, job_of, submissions
from experiments.planning.requests import Request, stored_requests
from experiments.store import Store, StoreError
from sftok.config import ConfigError, choices_hint


def logs(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the log of an artifact's latest job; without a job, why it failed."""
    store = Store(options.store)
    artifact = _named(options.artifact, store)
    job = job_of(store, artifact)
    if job is not None:
        text = read_log(store, job)
        if text is None:
            print(f"job {job.job} has not printed anything yet", file=sys.stderr)
            return 0
    else:
        failure = store.failure(artifact)
        if failure is None:
            raise StoreError(f"{artifact.name} has no log: no cluster job made it, and it did not fail")
        text = failure["traceback"] or failure["reason"]
    lines = text.splitlines()
    print("\n".join(lines if options.lines is None else lines[-options.lines :]))
    return 0


def read_log(store: Store, job: JobRecord) -> str | None:
    """What a job printed; None if it has not begun to."""
    try:
        return (store.root / job.log).read_text(errors="replace")
    except FileNotFoundError:
        return None


def _named(name: str, store: Store) -> Artifact:
    artifacts = {
        artifact.name: artifact
        for work in [*submissions(store).values(), *map(Work, map(Request.content, stored_requests(store)))]
        for artifact in work.artifacts
    }
    found = [artifact for full, artifact in artifacts.items() if full.startswith(name)]
    if len(found) != 1:
        problem = "no artifact is named so" if not found else "several artifacts begin so"
        raise ConfigError(
            f"{name!r}: {problem}; {choices_hint(name, [each.name for each in found] or artifacts)}"
        )
    return found[0]
