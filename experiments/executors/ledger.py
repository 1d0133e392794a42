"""The latest job of each artifact, one small file each in `<store>/jobs/`.

The jobs themselves do not read these files; `status`, `logs`, `cancel` and `retry` do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from experiments.artifacts import Artifact
from experiments.requests import StoredRequest
from experiments.store import Store, StoredArtifact, StoreError, locks, read_json, write_json
from sftok.config import Config

Named = Artifact | StoredArtifact
AnyArtifact = TypeVar("AnyArtifact", Artifact, StoredArtifact)


class JobRecord(Config):
    """The latest job of one artifact."""

    job: str
    """Slurm's id: `12`, or `12_3` in an array."""
    submission: str
    log: str
    """Path relative to the store, which may be moved."""
    memory: str | None
    minutes: int
    submitted: str
    state: str = "PENDING"
    """The state that Slurm last reported."""
    reason: str = ""
    explained: bool = False
    """Whether the reason of its end is already recorded."""

    @property
    def note(self) -> str:
        """Human-readable state, e.g. `job 12: pending (Priority)`."""
        state = "starting" if self.state == "RUNNING" else self.state.lower()
        return f"job {self.job}: {state}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Submission:
    """The folder of one submission, `<store>/submissions/<time>-<experiment>`."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name: time and experiment."""
        return self.folder.name

    @property
    def request(self) -> Path:
        """A copy of the request, so that a later one does not change what queued jobs do."""
        return self.folder / "request.json"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"

    @property
    def withdrawn(self) -> Path:
        """A file that marks the jobs as canceled: nothing waits for them any more."""
        return self.folder / "withdrawn"

    def cluster(self) -> dict[str, Any] | None:
        """The resources of the submission, as from `Cluster.dump`; None if it did not go to Slurm."""
        return read_json(self.folder / "cluster.json")

    def save_cluster(self, content: dict[str, Any]) -> None:
        """Save the resources, for a retry."""
        write_json(self.folder / "cluster.json", content)


def new_submission(store: Store, request: StoredRequest) -> Submission:
    """Create the folder for a submission of `request`, including the user's own file, if there is one."""
    stem = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{request.name}"
    for number in range(1000):
        submission = Submission(store.root / "submissions" / (f"{stem}-{number}" if number else stem))
        with contextlib.suppress(FileExistsError):
            submission.logs.mkdir(parents=True)
            request.write(submission.request)
            return submission
    raise StoreError(f"{store.root / 'submissions'}: too many submissions within one second")


def submissions(store: Store) -> dict[Submission, StoredRequest]:
    """All submissions to Slurm, oldest first, including those that a later request has replaced.

    Submissions whose request is damaged or of another version of this package are left out.
    """
    found = {}
    for folder in sorted((store.root / "submissions").glob("*")):
        with contextlib.suppress(FileNotFoundError, StoreError):
            if Submission(folder).cluster() is not None:
                found[Submission(folder)] = StoredRequest.load(Submission(folder).request)
    return found


def last_submission(store: Store, experiment: str, profile: str) -> Submission | None:
    """The latest submission to Slurm of an experiment at a profile."""
    for submission, request in reversed(submissions(store).items()):
        if (request.name, request.profile) == (experiment, profile):
            return submission
    return None


def record(store: Store, artifact: Named, job: JobRecord) -> None:
    """Record the artifact's latest job."""
    path = _path(store, artifact)
    path.parent.mkdir(exist_ok=True)
    write_json(path, job.model_dump())


def forget(store: Store, artifact: Named) -> None:
    """Delete the record of the artifact's job."""
    _path(store, artifact).unlink(missing_ok=True)


def job_of(store: Store, artifact: Named) -> JobRecord | None:
    """The artifact's latest job; None if it never had one."""
    content = read_json(_path(store, artifact))
    return None if content is None else JobRecord.build(content)


def jobs_of(store: Store, artifacts: Iterable[AnyArtifact]) -> dict[AnyArtifact, JobRecord]:
    """The latest jobs of the artifacts that have had one."""
    return {artifact: job for artifact in artifacts if (job := job_of(store, artifact)) is not None}


@contextlib.contextmanager
def submitting(store: Store) -> Iterator[None]:
    """The block in which only this process may submit jobs to Slurm from this store.

    Raises:
        StoreError: another process is in such a block.
    """
    with locks.lock(store.root / "locks" / "submitting.json") as ours:
        if not ours:
            raise StoreError(
                f"store {store.root}: another process is submitting jobs from it; try again in a moment"
            )
        yield


def _path(store: Store, artifact: Named) -> Path:
    return store.root / "jobs" / f"{artifact.name}.json"
