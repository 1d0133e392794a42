"""`status`: prints the state of every artifact of the stored requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from experiments.commands.durations import readable
from experiments.commands.logs import read_log
from experiments.commands.options import DEFAULT_STORE, StorePath
from experiments.commands.stored import KnownExperiment, chosen_requests, refresh_all
from experiments.commands.wiring import Wired
from experiments.executors.ledger import JobRecord, job_of, jobs_of, submissions
from experiments.executors.queue import LIVE
from experiments.records import ArtifactState, Run, load_run
from experiments.records.study_results import StudyRun, stored_studies
from experiments.requests import StoredRequest
from experiments.store import Store, StoredArtifact

LOG_LINES = 4


def status(
    experiment: KnownExperiment | None = None,
    /,
    *,
    store: StorePath = DEFAULT_STORE,
    format: Literal["text", "json"] = "text",
    wiring: Wired,
) -> int:
    """Print the state of one experiment, or of all requests in this store."""
    opened = Store(store)
    studies = [] if experiment else stored_studies(opened.root)
    if studies and not any((opened.root / "requests").glob("*.json")):
        print("\n".join(map(_study, studies)))
        return 0
    requests = chosen_requests(opened, wiring.registry, experiment)
    replaced = _replaced(opened, requests)
    refresh_all(opened, [artifact for request in requests for artifact in request.artifacts] + replaced)
    runs = [load_run(opened, request) for request in requests]
    if format == "json":
        print(json.dumps([_as_json(run) for run in runs], indent=1))
    else:
        print("\n\n".join([_describe(opened, run) for run in runs] + [_study(study) for study in studies]))
        if left := [f"  {each.name}  {each.label} {job.note}" for each, job in _live(opened, replaced)]:
            print("\njobs of earlier requests with other seeds or values (`cancel` cancels them too):")
            print("\n".join(left))
    return 1 if requests.unreadable else 0


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "experiment": {"name": run.experiment.name},
        "profile": run.request.profile,
        "seeds": list(run.request.seeds),
        "complete": run.complete,
        "artifacts": [artifact.model_dump(mode="json") for artifact in run.artifacts],
    }


def _replaced(store: Store, requests: Sequence[StoredRequest]) -> list[StoredArtifact]:
    """Artifacts submitted under the names of `requests` that none of them needs any more."""
    names = {request.name for request in requests}
    asked = {artifact.name for request in requests for artifact in request.artifacts}
    earlier = [request for request in submissions(store).values() if request.name in names]
    replaced = {each.name: each for request in earlier for each in request.artifacts}
    return [artifact for name, artifact in replaced.items() if name not in asked]


def _live(store: Store, artifacts: Iterable[StoredArtifact]) -> list[tuple[StoredArtifact, JobRecord]]:
    """The unfinished artifacts for which Slurm last reported a live job."""
    unfinished = [artifact for artifact in artifacts if not store.is_done(artifact)]
    return [(artifact, job) for artifact, job in jobs_of(store, unfinished).items() if job.state in LIVE]


def _describe(store: Store, run: Run) -> str:
    done = sum(artifact.status == "done" for artifact in run.artifacts)
    seeds = ", ".join(map(str, run.request.seeds))
    what = f"{run.experiment.name}, profile {run.request.profile}, seeds {seeds}"
    lines = [f"{what}: {done} of {len(run.artifacts)} artifacts done"]
    for artifact in run.artifacts:
        lines.append(f"  {_line(artifact)}")
        if artifact.status == "failed":
            lines += [
                f"           | {line}" for line in _last_words(store, run.request.by_name[artifact.name])
            ]
    return "\n".join(lines)


def _line(artifact: ArtifactState) -> str:
    detail = artifact.note or ""
    if artifact.status == "running" and artifact.progress is not None:
        detail = f"{100 * artifact.progress:.0f} %, {readable(artifact.remaining_seconds)} left"
    elif artifact.status == "failed":
        detail = artifact.error or ""
    elif artifact.status == "done":
        detail = f"in {readable(artifact.seconds)}"
    shared = f" (shared by {artifact.shared_by})" if artifact.shared_by > 1 else ""
    return f"{artifact.status:<8} {artifact.name}  {artifact.label}{shared} {detail}".rstrip()


def _last_words(store: Store, artifact: StoredArtifact) -> list[str]:
    """The end of the job's log, or of the traceback if there is no job."""
    job = job_of(store, artifact)
    text = read_log(store, job) if job is not None else (store.failure(artifact) or {}).get("traceback")
    return [line for line in (text or "").splitlines() if line.strip()][-LOG_LINES:]


def _study(run: StudyRun) -> str:
    done = sum(trial.state != "running" for trial in run.trials)
    best = "" if run.best is None else f", the best is trial {run.best}"
    return f"study {run.study.name}, profile {run.profile}: {done} of {run.budget} trials done{best}"
