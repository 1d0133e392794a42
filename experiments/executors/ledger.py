"""Which job makes which artifact: one small file an artifact in `<store>/jobs/`, the latest job's.

The jobs themselves read none of this; it is for `status`, `logs`, `cancel` and `retry`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments import claims
from experiments.artifacts import Artifact
from experiments.planning.requests import Request
from experiments.store import Store, StoreError, read_json, write_json
from sftok.config import Config


class JobRecord(Config):
    """One artifact's latest job."""

    job: str
    """Slurm's id: `12`, or `12_3` in an array."""
    submission: str
    log: str
    """Its path below the store, which may be moved."""
    memory: str | None
    minutes: int
    submitted: str
    state: str = "PENDING"
    """What Slurm said last."""
    reason: str = ""
    explained: bool = False
    """Whether its end has a reason that was shown; no other one is made up for it then."""

    @property
    def note(self) -> str:
        """For people: `job 12: pending (Priority)`."""
        state = "starting" if self.state == "RUNNING" else self.state.lower()
        return f"job {self.job}: {state}" + (f" ({self.reason})" if self.reason else "")


class Submission:
    """The folder of one submission: what was asked for, with which resources, and the logs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.request = folder / "request.json"
        self.logs = folder / "logs"
        self.withdrawn = folder / "withdrawn"
        """There once its jobs were cancelled: nobody waits for them any more."""

    @property
    def name(self) -> str:
        """Time and experiment."""
        return self.folder.name

    def cluster(self) -> dict[str, Any] | None:
        """The resources it was submitted with, as `Cluster.dump` gives them."""
        return read_json(self.folder / "cluster.json")

    def save_cluster(self, content: dict[str, Any]) -> None:
        """Keep the resources, for a retry."""
        write_json(self.folder / "cluster.json", content)


def new_submission(store: Store, request: Request) -> Submission:
    """A folder with a copy of `request`: a later request must not change what queued jobs do."""
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{request.plan.experiment.name}"
    for number in range(1000):
        folder = store.root / "submissions" / (f"{stem}-{number}" if number else stem)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            submission = Submission(folder)
            submission.logs.mkdir()
            request.write(submission.request)
            return submission
    raise StoreError(f"{store.root / 'submissions'}: too many submissions within one second")


def last_submission(store: Store, request: Request) -> Submission | None:
    """The latest submission to Slurm of the request's experiment and profile."""
    for folder in sorted((store.root / "submissions").glob("*"), reverse=True):
        submission = Submission(folder)
        if submission.cluster() is None or not submission.request.exists():
            continue
        plan = Request.load(submission.request).plan
        if (plan.experiment.name, plan.profile.name) == (
            request.plan.experiment.name,
            request.plan.profile.name,
        ):
            return submission
    return None


def submissions(store: Store) -> dict[Submission, Request]:
    """All that was ever submitted to Slurm, also what a later request of the same name replaced.

    Their jobs go on; what another version of this package wrote is left out.
    """
    found = {}
    for folder in sorted((store.root / "submissions").glob("*")):
        submission = Submission(folder)
        with contextlib.suppress(FileNotFoundError, StoreError):
            if submission.cluster() is not None:
                found[submission] = Request.load(submission.request)
    return found


def submitted(store: Store) -> list[Request]:
    """The requests of all submissions."""
    return list(submissions(store).values())


def record(store: Store, artifact: Artifact, job: JobRecord) -> None:
    """Note the artifact's latest job."""
    folder = store.root / "jobs"
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{artifact.name}.json", job.model_dump())


def forget(store: Store, artifact: Artifact) -> None:
    """Drop the note of a job."""
    (store.root / "jobs" / f"{artifact.name}.json").unlink(missing_ok=True)


def job_of(store: Store, artifact: Artifact) -> JobRecord | None:
    """The artifact's latest job, if it ever had one."""
    content = read_json(store.root / "jobs" / f"{artifact.name}.json")
    return None if content is None else JobRecord.build(content)


def jobs_of(store: Store, artifacts: Iterable[Artifact]) -> dict[Artifact, JobRecord]:
    """The latest jobs of those artifacts that ever had one."""
    return {artifact: job for artifact in artifacts if (job := job_of(store, artifact)) is not None}


@contextlib.contextmanager
def submitting(store: Store) -> Iterator[None]:
    """Only one process at a time decides what to submit to Slurm from this store.

    Raises:
        StoreError: another one is at it.
    """
    with claims.claim(store.root / "claims" / "submitting.json") as ours:
        if not ours:
            raise StoreError(
                f"store {store.root}: another process is submitting jobs from it; try again in a moment"
            )
        yield
