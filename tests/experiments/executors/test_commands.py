"""The commands for jobs: `status`, `logs`, `cancel`, `retry`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from making import artifact, job_record, make_request

from experiments.artifacts import Artifact
from experiments.commands import Wiring, dispatch
from experiments.commands import cancel as cancelling
from experiments.commands.cluster import submit_all
from experiments.executors import ledger, slurm, watch
from experiments.executors.queue import JobState, SlurmError
from experiments.executors.resources import load_cluster
from experiments.paper import table3, table4
from experiments.specs import Experiment
from experiments.specs.registry import Registry
from experiments.store import Store


def run(*arguments: str) -> int:
    return dispatch(
        arguments,
        Wiring(
            argv=arguments,
            registry=Registry(("experiments.paper",)),
            build_report=lambda store, runs: store,
            build_evaluations=lambda store: None,
            export=lambda frame, form: "",
            export_verdicts=lambda runs, form: "",
        ),
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


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that were canceled; all others are pending."""
    jobs_ended: list[str] = []

    def pending(jobs: Sequence[str]) -> dict[str, JobState]:
        return {job: JobState(state="PENDING", reason="Priority") for job in jobs}

    monkeypatch.setattr(slurm, "cancel", lambda jobs: jobs_ended.extend(job.job for job in jobs))
    monkeypatch.setattr(watch, "job_states", pending)
    monkeypatch.setattr(cancelling, "job_states", pending)
    return jobs_ended


def test_jobs_of_a_replaced_request_are_shown_and_canceled(
    store: Store,
    ended: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shared, early, late = (artifact("stage", label=f"stage {n}") for n in range(3))
    submitted(store, shared, early, first=10)
    submitted(store, shared, late, first=20)
    assert run("status", "table4", "--store", str(store.root)) == 0
    shown = capsys.readouterr().out
    assert "jobs of earlier requests" in shown
    assert f"{early.name}  stage 1 job 11: pending (Priority)" in shown
    assert run("cancel", "table4", "--store", str(store.root)) == 0
    assert sorted(ended) == ["11", "20", "21"]
    (store.root / "log").write_text("a line\n")
    assert run("logs", early.name, "--store", str(store.root)) == 0
    assert capsys.readouterr().out.endswith("a line\n"), "its log is found, too"


def test_a_job_that_another_experiment_waits_for_is_kept_until_that_is_canceled_too(
    store: Store, ended: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shared, own = (artifact("evaluation", label=f"evaluation {n}") for n in range(2))
    submitted(store, shared, own, first=10)
    submitted(store, shared, first=10, experiment=table3.EXPERIMENT)
    for name, expected in (("table4", ["11"]), ("table3", ["11", "10"])):
        assert run("cancel", name, "--store", str(store.root)) == 0
        ledger.forget(store, own)
        assert ended == expected
    assert "because another experiment waits for it: evaluation 0" in capsys.readouterr().out


def test_a_request_of_older_code_is_not_made_by_newer_code(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = artifact("stage", label="a")
    submitted(store, old, first=10)
    monkeypatch.setattr(type(old), "version", 2)
    assert run("retry", "table4", "--failed", "--store", str(store.root)) != 0
    assert "the code that makes it has changed" in capsys.readouterr().err


def test_every_table_is_checked_before_the_first_is_queued(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(artifacts: list[Artifact], *others: object) -> None:
        raise SlurmError(f"no such kind: {artifacts[-1].kind}")

    monkeypatch.setattr(slurm, "check", check)
    artifacts = [artifact(kind, label=kind) for kind in ("stage", "evaluation")]
    requests = [make_request(each) for each in artifacts]
    with pytest.raises(SlurmError, match="no such kind: fake_evaluation"):
        submit_all(requests, artifacts, store, load_cluster(None, "smoke"))
    assert not list((store.root / "requests").iterdir())
    assert not (store.root / "submissions").exists()
