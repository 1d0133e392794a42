"""A real Slurm for the tests of this folder; without one they are skipped and say why."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ASKED = "SFTOK_TEST_SLURM"

FAKES = HERE.parent / "experiments" / "executors"
sys.path[:0] = [str(HERE), str(FAKES)]

import cluster as slurm_cluster  # noqa: E402

from experiments.artifacts import Artifact  # noqa: E402
from experiments.executors import ledger, slurm  # noqa: E402
from experiments.executors.resources import Cluster, load_cluster  # noqa: E402
from experiments.executors.watch import refresh  # noqa: E402
from experiments.requests import StoredRequest  # noqa: E402
from experiments.store import Store  # noqa: E402


@pytest.fixture(scope="session")
def cluster() -> Iterator[slurm_cluster.Cluster]:
    """The running cluster; its clients find it through the environment."""
    # Minutes of waiting for a scheduler: who wants it asks for it.
    asked = os.environ.get(ASKED) == "1"
    reason = slurm_cluster.why_missing() if asked else f"set {ASKED}=1 to start one and test on it"
    if reason:
        pytest.skip(f"needs a real Slurm: {reason}")
    before = dict(os.environ)
    with slurm_cluster.temporary_cluster() as running:
        os.environ.update(running.environment)
        try:
            yield running
        finally:
            os.environ.clear()
            os.environ.update(before)


RELEASE_SECONDS = 4.0
"""Slurm's delay is there for the node to clean up; a job that starts too soon cannot create its step."""


class Lab:
    """A store on the cluster, and fake artifacts to make in it."""

    def __init__(self, folder: Path, cluster: slurm_cluster.Cluster):
        self.folder, self.cluster = folder, cluster
        self.store = Store(folder / "runs")
        self.store.prepare()

    def resources(self, text: str = "") -> Cluster:
        """Small jobs; `text` is more of the cluster file."""
        path = self.folder / "cluster.toml"
        time = "" if text.startswith("time") else "time = 10\n"
        path.write_text(f'[default]\nmemory = "1G"\n{time}{text}')
        return load_cluster(path, "smoke")

    def submit(self, request: StoredRequest, text: str = "") -> Mapping[Artifact, ledger.JobRecord]:
        """Queue the request's artifacts."""
        return slurm.submit(request, self.store, self.resources(text)).jobs

    def checkpoint(self, artifact: Artifact) -> Path:
        """Where `count` counts."""
        return self.store.work_folder(artifact) / "checkpoint.safetensors"

    def until(self, what: str, ready: Callable[[], bool], seconds: float = 150) -> None:
        """Wait; requeued jobs, which Slurm holds back for two minutes, are let go after `RELEASE_SECONDS`."""
        deadline = time.monotonic() + seconds
        held: dict[str, float] = {}
        while not ready():
            if time.monotonic() > deadline:
                queue = self.cluster.command("squeue", "-r", "-o", "%i %T %r").stdout
                pytest.fail(f"waited {seconds:.0f} s for {what}; queue:\n{queue}")
            for line in self.cluster.command("squeue", "-h", "-r", "-o", "%i|%r").stdout.splitlines():
                job, reason = line.split("|")
                waited = time.monotonic() - held.setdefault(job, time.monotonic())
                if reason != "BeginTime":
                    del held[job]
                elif waited > RELEASE_SECONDS:
                    self.cluster.command("scontrol", "update", f"jobid={job}", "starttime=now")
            time.sleep(0.5)

    def queue_is_empty(self) -> bool:
        """True if no job waits, runs or is cleaned up after."""
        shown = self.cluster.command("squeue", "-h")
        return shown.returncode == 0 and not shown.stdout.strip()

    def until_over(self, *artifacts: Artifact, seconds: float = 150) -> None:
        """Wait until each is done or has failed."""

        def over() -> bool:
            refresh(self.store, [artifact.stored() for artifact in artifacts])
            return all(self.store.is_done(each) or self.store.failure(each) for each in artifacts)

        self.until("the end of the jobs", over, seconds)

    def reason(self, artifact: Artifact) -> str:
        """Why it failed."""
        return str((self.store.failure(artifact) or {"reason": "it did not fail"})["reason"])

    def result(self, artifact: Artifact) -> dict[str, Any]:
        """What its maker returned."""
        result = self.store.result(artifact)
        assert result is not None, self.reason(artifact)
        return result.model_dump()

    def attempts(self, label: str) -> int:
        """How often a maker was called."""
        return (self.store.root / "attempts").read_text().split().count(label)


@pytest.fixture
def lab(tmp_path: Path, cluster: slurm_cluster.Cluster) -> Iterator[Lab]:
    """A fresh store; its jobs are gone when the next test begins, also if it failed."""
    lab = Lab(tmp_path, cluster)
    yield lab
    cluster.command("scancel", "--me")
    lab.until("an empty queue", lab.queue_is_empty, seconds=60)
