"""`status`: every artifact of the stored requests as it stands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from experiments.artifacts import Artifact
from experiments.commands.logs import read_log
from experiments.commands.stored import chosen_requests, refresh_all
from experiments.commands.wiring import Wiring
from experiments.executors.ledger import JobRecord, job_of, jobs_of, submissions
from experiments.executors.queue import LIVE
from experiments.planning.costs import readable
from experiments.planning.requests import Request
from experiments.records.collect import BLOCKED, table_run
from experiments.records.results import ArtifactState, TableRun
from experiments.store import Store

LOG_LINES = 4


def status(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the state of one experiment, or of all that were asked for in this store."""
    store = Store(options.store)
    requests = chosen_requests(options, wiring, store)
    replaced = _replaced(store, requests)
    refresh_all(store, [artifact for request in requests for artifact in request.plan.artifacts] + replaced)
    runs = [table_run(store, request) for request in requests]
    if options.format == "json":
        fields: Any = {
            "experiment": {"name"},
            "profile": True,
            "seeds": True,
            "complete": True,
            "artifacts": True,
        }
        print(json.dumps([run.model_dump(mode="json", include=fields) for run in runs], indent=1))
    else:
        described = (
            _describe(run, store, request.plan.artifacts) for run, request in zip(runs, requests, strict=True)
        )
        print("\n\n".join(described))
        if left := [f"  {each.name}  {each.label} {job.note}" for each, job in _live(store, replaced)]:
            print("\nof earlier requests, with other seeds or values (`cancel` ends them too):")
            print("\n".join(left))
    return 0


def _replaced(store: Store, requests: Sequence[Request]) -> list[Artifact]:
    """What was submitted under the names of `requests`, but is asked for by none of them any more."""
    names = {request.plan.experiment.name for request in requests}
    asked = {artifact for request in requests for artifact in request.plan.artifacts}
    earlier = [work for work in submissions(store).values() if work.experiment in names]
    return list(dict.fromkeys(each for work in earlier for each in work.artifacts if each not in asked))


def _live(store: Store, artifacts: list[Artifact]) -> list[tuple[Artifact, JobRecord]]:
    """Those that are not made and that Slurm still has a job for, as it said last."""
    unfinished = [artifact for artifact in artifacts if not store.is_done(artifact)]
    return [(artifact, job) for artifact, job in jobs_of(store, unfinished).items() if job.state in LIVE]


def _describe(run: TableRun, store: Store, artifacts: tuple[Artifact, ...]) -> str:
    done = sum(artifact.status == "done" for artifact in run.artifacts)
    seeds = ", ".join(map(str, run.seeds))
    what = f"{run.experiment.name}, profile {run.profile}, seeds {seeds}"
    lines = [f"{what}: {done} of {len(run.artifacts)} artifacts done"]
    for state, artifact in zip(run.artifacts, artifacts, strict=True):
        lines.append(f"  {_line(state)}")
        if state.status == "failed":
            lines += [f"           | {line}" for line in _last_words(store, artifact)]
    return "\n".join(lines)


def _line(artifact: ArtifactState) -> str:
    detail = ""
    if artifact.status == "running" and artifact.progress is not None:
        detail = f" {100 * artifact.progress:.0f} %, {readable(artifact.remaining_seconds)} left"
    elif artifact.status == "failed":
        detail = f" {artifact.error}"
    elif artifact.status == "done":
        detail = f" in {readable(artifact.seconds)}"
    elif artifact.note is not None:
        detail = f" {artifact.note}"
    blocked = artifact.note is not None and artifact.note.startswith(BLOCKED)
    word = "blocked" if blocked else artifact.status
    shared = f" (shared by {artifact.shared_by})" if artifact.shared_by > 1 else ""
    return f"{word:<8} {artifact.kind}-{artifact.key}  {artifact.label}{shared}{detail}"


def _last_words(store: Store, artifact: Artifact) -> list[str]:
    """The end of the job's log, or of the traceback where there is no job."""
    job = job_of(store, artifact)
    text = read_log(store, job) if job is not None else (store.failure(artifact) or {}).get("traceback")
    return [line for line in (text or "").splitlines() if line.strip()][-LOG_LINES:]
