"""From artifacts to jobs: groups, the copy of the code, and all or nothing is queued."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from making import artifact, job_record, make_request

from experiments.executors import ledger, slurm
from experiments.executors.queue import JobState
from experiments.executors.resources import load_cluster
from experiments.executors.slurm import grouped
from experiments.executors.snapshot import COMMIT_FILE, checkout_commit, take_snapshot
from experiments.store import Store, StoreError


def test_groups_have_one_kind_and_the_same_inputs() -> None:
    a = artifact("teacher", config={}, label="a")
    stages = [artifact("stage", config={"n": n}, inputs={"teacher": a}, label=f"s{n}") for n in range(5)]
    evaluations = [
        artifact("evaluation", config={"n": n}, inputs={"tokenizer": stages[n]}, label=f"e{n}")
        for n in range(2)
    ]
    order = [a, stages[0], evaluations[0], *stages[1:], evaluations[1]]
    groups = grouped(order, largest=3)
    assert groups == [[a], stages[:3], stages[3:], [evaluations[0]], [evaluations[1]]]


def test_a_snapshot_holds_the_code_and_its_commit(tmp_path: Path) -> None:
    path = take_snapshot(tmp_path)
    assert (path / "experiments" / "executors" / "inline.py").is_file()
    assert (path / "sftok" / "tokenizers" / "sftok.py").is_file()
    assert (path / COMMIT_FILE).read_text() == checkout_commit()
    assert take_snapshot(tmp_path) == path
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_leaves_no_part_of_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        take_snapshot(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_store_is_one_error_before_anything_is_queued(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.executors.slurm.take_snapshot", full)
    a = artifact("stage", config={}, label="a")
    with pytest.raises(
        StoreError, match=r"No space left on device.*nothing was queued for table4; free some space"
    ):
        slurm.submit(make_request(a), store, load_cluster(None, "smoke"))
    assert ledger.job_of(store, a) is None


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_jobs_of_others_make_is_submitted_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    a = artifact("stage", config={}, label="a")
    ledger.record(store, a, job_record("10"))
    for name, stand_in in (
        ("job_states", lambda jobs: {job: JobState(state="PENDING", reason="") for job in jobs}),
        ("take_snapshot", lambda folder: folder),
        ("largest_array", lambda: 1),
    ):
        monkeypatch.setattr(slurm, name, stand_in)
    submitted = slurm.submit(make_request(a), store, load_cluster(None, "smoke"))
    assert not submitted.jobs
    assert list(submitted.in_flight) == [a]
    (submission,) = ledger.submissions(store)
    assert submission.name == (submitted.submission and submitted.submission.name)
    assert not submission.withdrawn.exists()
