"""What became of jobs, as the store and the pages say."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_artifacts import Fake
from making import artifact, job_record

from experiments.executors import ledger, watch
from experiments.executors.events import Started
from experiments.executors.inline import note_failure
from experiments.executors.queue import JobState
from experiments.store import Store, StoredArtifact
from sftok.distributed import WorldBroken


def test_what_slurm_said_about_an_older_job_does_not_replace_a_newer_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))

    def answer(jobs: object) -> dict[str, JobState]:
        ledger.record(store, made, job_record("13"))  # a `retry`, while Slurm is asked
        return {"12": JobState(state="FAILED", exit_code=1)}

    monkeypatch.setattr(watch, "job_states", answer)
    watch.refresh(store, stored(made))
    latest = ledger.job_of(store, made)
    assert latest is not None
    assert (latest.job, latest.state) == ("13", "PENDING")
    assert store.failure(made) is None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            JobState(state="OUT_OF_MEMORY"),
            "out of memory (job 12 was given 4G); raise memory of kind fake_stage",
        ),
        (JobState(state="TIMEOUT"), "out of time (job 12 was given 60 min); raise time of kind fake_stage"),
        (JobState(state="CANCELLED", user="0"), "canceled (job 12, by user 0)"),
        (JobState(state="NODE_FAIL", node="n3"), "its node was lost (job 12 on n3)"),
        (JobState(state="PREEMPTED"), "preempted (job 12)"),
        (JobState(state="FAILED", signal=9), "crashed: killed by signal 9 SIGKILL (job 12)"),
        (JobState(state="FAILED", exit_code=137), "crashed: killed by signal 9 SIGKILL (job 12)"),
        (JobState(state="FAILED", exit_code=3), "crashed: exit code 3 (job 12, failed)"),
        (JobState(state="UNKNOWN"), "job 12 is gone"),
        (JobState(state="COMPLETED"), "job 12 ended without a result"),
    ],
)
def test_why_a_job_ended(state: JobState, said: str) -> None:
    made = artifact("stage", config={}, label="a")
    assert watch.why_ended(made.stored(), job_record("12"), state).startswith(said)


def stored(*artifacts: Fake) -> list[StoredArtifact]:
    return [each.stored() for each in artifacts]


def told(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Slurm says the same about every job."""
    monkeypatch.setattr(watch, "job_states", lambda jobs: {job: JobState(state=state) for job in jobs})


def test_why_a_job_ended_is_recorded_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))
    told(monkeypatch, "OUT_OF_MEMORY")
    watch.refresh(store, stored(made))
    assert store.failure(made) is not None
    store.clear_failure(made)  # as by a run that makes it here
    watch.refresh(store, stored(made))
    assert store.failure(made) is None


def test_an_ended_job_says_nothing_about_what_another_process_makes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))
    told(monkeypatch, "NODE_FAIL")
    with store.lock(made):
        watch.refresh(store, stored(made))
        assert store.failure(made) is None
    watch.refresh(store, stored(made))
    assert "its node was lost" in (store.failure(made) or {})["reason"], "postponed, not forgotten"


def test_a_run_without_slurm_forgets_ended_jobs(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))
    told(monkeypatch, "RUNNING")
    watch.EndedJobs(store, stored(made))(Started(made))
    assert ledger.job_of(store, made) is not None, "it can still be canceled"
    told(monkeypatch, "TIMEOUT")
    ended = watch.EndedJobs(store, stored(made))
    assert ledger.job_of(store, made) is not None, "its log is there until the artifact is begun"
    assert "out of time" in (store.failure(made) or {})["reason"]
    store.clear_failure(made)
    watch.refresh(store, stored(made))
    assert store.failure(made) is None, "whatever is made now, the job is history"
    ended(Started(made))
    assert ledger.job_of(store, made) is None


def test_a_run_without_slurm_keeps_a_job_that_was_queued_since(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))
    told(monkeypatch, "TIMEOUT")
    ended = watch.EndedJobs(store, stored(made))
    ledger.record(store, made, job_record("13"))
    ended(Started(made))
    assert (ledger.job_of(store, made) or job_record("")).job == "13"


def test_a_canceled_job_is_explained_once_its_inputs_are_finished(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = artifact("teacher", config={}, label="above")
    made = artifact("stage", config={}, inputs={"teacher": above}, label="a")
    ledger.record(store, made, job_record("12"))
    told(monkeypatch, "CANCELLED")
    watch.refresh(store, stored(made))
    assert store.failure(made) is None, "so Slurm does with what waits for a failed job"
    store.open_work(above, {})
    store.commit(above, {"provenance": {"started": "now", "seconds": 1.0}})
    watch.refresh(store, stored(made))
    assert "canceled" in (store.failure(made) or {})["reason"]


def test_a_job_that_was_requeued_by_hand_has_a_new_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))
    for state, said in (("FAILED", "crashed"), ("PENDING", ""), ("OUT_OF_MEMORY", "out of memory")):
        told(monkeypatch, state)
        watch.refresh(store, stored(made))
        assert (store.failure(made) or {"reason": ""})["reason"].startswith(said)
        store.clear_failure(made)  # as the job does that begins anew


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("OUT_OF_MEMORY", "out of memory (job 12 was given 4G)"),
        ("PENDING", None),
        ("RUNNING", "WorldBroken: process 3 is gone"),
        ("COMPLETING", "WorldBroken: process 3 is gone"),
    ],
)
def test_slurm_knows_better_than_processes_that_lost_each_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, state: str, reason: str | None
) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12").model_copy(update={"state": "RUNNING"}))
    note_failure(made, store, WorldBroken("process 3 is gone"), first=True)
    told(monkeypatch, state)
    watch.refresh(store, stored(made))
    assert (store.failure(made) or {}).get("reason", "").startswith(reason or "")
    assert (store.failure(made) is None) == (reason is None)


def test_a_reason_that_the_job_recorded_stands(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, job_record("12"))
    note_failure(made, store, ValueError("image 7 cannot be read"), first=True)
    told(monkeypatch, "FAILED")
    watch.refresh(store, stored(made))
    assert (store.failure(made) or {})["reason"] == "ValueError: image 7 cannot be read"


def test_a_dead_job_leaves_a_reason_and_what_it_blocks_none(store: Store, programs: Path) -> None:
    starved = artifact("stage", config={"n": 1}, label="starved")
    running = artifact("teacher", config={"n": 2}, label="running")
    below = artifact("evaluation", config={"n": 3}, inputs={"tokenizer": starved}, label="below")
    for each, job in ((starved, "14"), (running, "12"), (below, "15")):
        ledger.record(store, each, job_record(job))
    watch.refresh(store, stored(starved, running, below))
    assert "out of memory" in (store.failure(starved) or {})["reason"]
    notes = {
        label: job.note
        for label, job in zip("srb", ledger.jobs_of(store, [starved, running, below]).values(), strict=True)
    }
    assert notes == {"s": "job 14: out_of_memory", "r": "job 12: starting", "b": "job 15: cancelled"}
    assert store.failure(below) is None
