"""What a job does in its own process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from making import artifact, make_request

from experiments.artifacts import Artifact
from experiments.executors.job import ArtifactJob, JobError, _has_saved_since
from experiments.store import Store


def job_of(store: Store, request: Path, made: Artifact) -> ArtifactJob:
    return ArtifactJob(
        store=store.root,
        request=request,
        artifact=made.name,
        minutes=60,
        notice_seconds=60,
        max_requeues=0,
    )


def test_a_job_whose_input_is_missing_says_so(store: Store, tmp_path: Path) -> None:
    a = artifact("teacher", config={}, label="a")
    b = artifact("stage", config={}, inputs={"teacher": a}, label="b")
    path = tmp_path / "request.json"
    make_request(a, b).write(path)
    job = job_of(store, path, b)
    with pytest.raises(JobError, match=rf"its input a \({a.name}\) is not in the store"):
        job()
    assert "its input a" in (store.failure(b) or {})["reason"]


def test_a_job_makes_its_artifact_and_a_second_one_finds_it_done(store: Store, tmp_path: Path) -> None:
    a = artifact("teacher", config={}, label="a")
    path = tmp_path / "request.json"
    make_request(a).write(path)
    job = job_of(store, path, a)
    job()
    job()
    assert store.is_done(a)
    assert (store.root / "attempts").read_text().split() == ["a"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("checkpoint.safetensors", True),
        ("tokens-000-00001.safetensors", True),
        ("part-T8-0.safetensors", True),
        ("metrics.jsonl", False),
    ],
)
def test_what_an_attempt_saved_counts_if_it_is_its_own(tmp_path: Path, name: str, kept: bool) -> None:
    (tmp_path / name).touch()
    began = (tmp_path / name).stat().st_mtime
    assert _has_saved_since(began, tmp_path) is kept
    assert not _has_saved_since(began + 1, tmp_path)


def test_a_job_starts_without_waiting_for_torch() -> None:
    look = "import sys, experiments.executors.job; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
