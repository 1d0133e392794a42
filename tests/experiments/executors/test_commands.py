"""The commands for jobs: `status`, `logs`, `cancel`, `retry`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest
from experiments.commands.executors import run_on_cluster
from experiments.spec import Experiment
from making import artifact, job_record, make_request

from experiments.artifacts import Artifact
from experiments.commands import cancel as cancelling
from experiments.commands import logs, retry, status
from experiments.commands.wiring import Wiring
from experiments.executors import ledger, slurm, watch
from experiments.executors.queue import JobState, SlurmError
from experiments.executors.resources import load_cluster
from experiments.paper import table3, table4
from experiments.store import Store, StoreError

WIRING = Wiring(
    spec_packages=("experiments.paper",),
    build_report=lambda *given: Path(),
    exporters={},
    verdict_exporters={},
)


def submitted(
    store: Store, *artifacts: Artifact, first: int, experiment: Experiment = table4.EXPERIMENT
) -> None:
    """As if `artifacts` had been submitted, as jobs from the number `first` on."""
    request = make_request(*artifacts, experiment=experiment)
    request.save(store.root)
    submission = ledger.new_submission(store, request)
    submission.save_cluster(load_cluster(None, "smoke").dump())
    for number, made in enumerate(artifacts, first):
        ledger.record(store, made, job_record(str(number)))


def test_jobs_of_a_request_that_another_replaced_are_shown_and_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, early, late = (artifact("stage", config={"n": n}, label=f"stage {n}") for n in range(3))
    submitted(store, shared, early, first=10)
    submitted(store, shared, late, first=20)
    ended: list[str] = []
    monkeypatch.setattr(slurm, "cancel", lambda jobs: ended.extend(job.job for job in jobs))
    for module in (watch, cancelling):
        monkeypatch.setattr(
            module,
            "job_states",
            lambda jobs: {job: JobState(state="PENDING", reason="Priority") for job in jobs},
        )
    options = argparse.Namespace(experiment="table4", store=store.root, format="text")
    assert status.status(options, [], WIRING) == 0
    shown = capsys.readouterr().out
    assert "of earlier requests" in shown
    assert f"{early.name}  stage 1 job 11: pending (Priority)" in shown
    assert cancelling.cancel(options, [], WIRING) == 0
    assert sorted(ended) == ["11", "20", "21"]
    log = argparse.Namespace(artifact=early.name, store=store.root, lines=9)
    assert logs.logs(log, [], WIRING) == 0, "its log is found, too"


def test_what_another_experiment_waits_for_is_kept_until_that_is_cancelled_too(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shared, own = (artifact("evaluation", config={"n": n}, label=f"evaluation {n}") for n in range(2))
    submitted(store, shared, own, first=10)
    submitted(store, shared, first=10, experiment=table3.EXPERIMENT)
    ended: list[str] = []
    monkeypatch.setattr(slurm, "cancel", lambda jobs: ended.extend(job.job for job in jobs))
    monkeypatch.setattr(
        cancelling, "job_states", lambda jobs: {job: JobState(state="PENDING", reason="") for job in jobs}
    )
    for name, expected in (("table4", ["11"]), ("table3", ["11", "10"])):
        assert cancelling.cancel(argparse.Namespace(experiment=name, store=store.root), [], WIRING) == 0
        ledger.forget(store, own)
        assert ended == expected
    assert "kept, another experiment waits for it: evaluation 0" in capsys.readouterr().out


def test_what_older_code_was_asked_for_is_not_made_by_newer_code(store: Store) -> None:
    old = dataclasses.replace(artifact("stage", config={}, label="a"), version=0)
    submitted(store, old, first=10)
    options = argparse.Namespace(experiment="table4", store=store.root, cluster=None, failed=True)
    with pytest.raises(StoreError, match=r"what makes a stage has changed since .*: a command"):
        retry.retry(options, [], WIRING)


def test_every_table_is_checked_before_the_first_is_queued(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(artifacts: list[Artifact], *others: object) -> None:
        raise SlurmError(f"no such kind: {artifacts[-1].kind}")

    monkeypatch.setattr(slurm, "check", check)
    requests = [make_request(artifact(kind, config={}, label=kind)) for kind in ("stage", "evaluation")]
    options = argparse.Namespace(cluster=None, profile="smoke")
    wiring = Wiring(spec_packages=(), build_report=lambda *given: None, exporters={}, verdict_exporters={})
    with pytest.raises(SlurmError, match="no such kind: evaluation"):
        run_on_cluster(options, requests, store, wiring)
    assert not list((store.root / "requests").iterdir())
    assert not (store.root / "submissions").exists()
