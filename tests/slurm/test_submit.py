"""Plans through a real Slurm: the same numbers as in one process, arrays, load, several processes a job."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import Lab
from making import artifact, make_request

from experiments.artifacts import Artifact
from experiments.executors import ledger, slurm
from experiments.executors.queue import SlurmError
from experiments.executors.resources import load_cluster
from experiments.store import Store, StoreError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


LOAD = int(os.environ.get("SFTOK_TEST_SLURM_LOAD", 24))
"""Artifacts of the load test; a release is tried with 200, which takes minutes."""


def experiments(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )


def numbers(store: Path) -> str:
    done = experiments("results", "table4", "--store", store)
    assert done.returncode == 0, done.stderr
    return done.stdout


def weights(store: Path) -> dict[str, str]:
    """The hash of each model's tensors by artifact; the order of a file's header is of no matter."""
    paths = store.glob("artifacts/*/result.json")
    results = {path.parent.name: json.loads(path.read_text()) for path in paths}
    return {name: result["weights"] for name, result in results.items() if "weights" in result}


def test_table4_has_the_same_bits_by_every_executor(lab: Lab, tmp_path: Path) -> None:
    arguments = ["run", "table4", "--profile", "smoke", "--store"]
    queued, inline, local = (tmp_path / executor for executor in ("slurm", "inline", "local"))
    done = experiments(*arguments, queued, "--executor", "slurm")
    assert done.returncode == 0, done.stderr
    assert "13 jobs queued" in done.stdout
    assert experiments(*arguments, inline).returncode == 0
    assert experiments(*arguments, local, "--executor", "local", "--workers", "2").returncode == 0
    again = experiments(*arguments, queued, "--executor", "slurm")
    assert again.returncode == 0, again.stderr
    assert "jobs queued" not in again.stdout or "\n0 jobs queued" in again.stdout

    lab.until("the end of the jobs", lab.queue_is_empty, seconds=1200)
    status = experiments("status", "table4", "--store", queued)
    assert "13 of 13 artifacts done" in status.stdout, status.stdout
    collected = experiments("collect", "table4", "--store", queued)
    assert collected.returncode == 0, collected.stderr
    assert (queued / "report" / "table4.html").exists()
    assert (queued / "mlflow.db").exists()
    assert numbers(queued) == numbers(inline) == numbers(local)
    assert len(weights(inline)) == 8
    assert weights(queued) == weights(inline) == weights(local)
    log = experiments("logs", "teacher", "--store", queued)
    assert "teacher: done in" in log.stdout


def test_a_study_is_shared_by_jobs(lab: Lab, tmp_path: Path) -> None:
    store = tmp_path / "runs"
    line = ["study", "sampling", "--profile", "smoke", "--trials", "4", "--store", store]
    done = experiments(*line, "--executor", "slurm", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "2 jobs queued" in done.stdout
    lab.until("the end of the jobs", lab.queue_is_empty, seconds=600)
    record = json.loads((store / "studies" / "sampling-smoke" / "trials.json").read_text())
    logs = [path.read_text() for path in (store / "studies" / "sampling-smoke" / "jobs").glob("*.out")]
    assert [trial["state"] for trial in record["trials"]] == ["complete"] * 4, logs
    assert len(logs) == 2
    assert "4 of 4 trials already started" in experiments(*line).stdout


def test_a_study_that_could_never_run_queues_nothing(lab: Lab, tmp_path: Path) -> None:
    file, store = tmp_path / "cluster.toml", tmp_path / "runs"
    file.write_text('[default]\npartition = "nowhere"\n')
    line = ["study", "sampling", "--profile", "smoke", "--store", store, "--executor", "slurm"]
    done = experiments(*line, "--cluster", file)
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert lab.queue_is_empty()
    refused = experiments(*line[:-2], "--cluster", file)
    assert refused.returncode == 2
    assert "--cluster is for --executor slurm" in refused.stderr


def test_a_refusal_is_one_line_before_anything_is_queued(lab: Lab, tmp_path: Path) -> None:
    file, store = tmp_path / "cluster.toml", tmp_path / "runs"
    file.write_text('[default]\npartition = "mian"')
    run = ["run", "table4", "--profile", "smoke", "--store", store]
    done = experiments(*run, "--executor", "slurm", "--cluster", file)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "run: kind teacher: no partition 'mian': did you mean 'main'? choices: brief, main, scavenge"
    )
    assert "Traceback" not in done.stderr
    assert lab.queue_is_empty()
    assert not list((store / "requests").glob("*"))
    assert not (store / "submissions").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('partition = "brief"\ntime = 5', "kind fake_stage: time 5 min is more than partition brief allows"),
        (
            'memory = "900G"',
            "kind fake_stage: Slurm would refuse the job: Requested node configuration is",
        ),
        ("gpus = 2", "kind fake_stage: Slurm would refuse the job: Invalid generic resource"),
        ("nodes = 3", "kind fake_stage: Slurm would refuse the job"),
        ('constraint = "a100"', "Slurm would refuse the job: Invalid feature specification"),
        ('[kind.fake_stage.extra]\nnonsense = "1"', "Slurm would refuse the job: .*unrecognized option"),
    ],
)
def test_resources_that_cannot_be_met(text: str, message: str, lab: Lab) -> None:
    with pytest.raises(SlurmError, match=message):
        slurm.check([artifact("stage", label="a")], lab.resources(f"[kind.fake_stage]\n{text}"), lab.folder)
    assert lab.queue_is_empty()


def test_many_artifacts_are_made_once_each(lab: Lab) -> None:
    top = [artifact("teacher", config={"n": number}, label=f"t{number}") for number in range(2)]
    rest = [
        artifact("stage", config={"n": number}, inputs={"teacher": top[number % 2]}, label=f"s{number}")
        for number in range(LOAD - 2)
    ]
    request = make_request(*top, *rest)
    jobs = lab.submit(request)
    assert len({job.job.partition("_")[0] for job in jobs.values()}) == 3
    lab.until_over(*top, *rest, seconds=1500)
    made = Counter((lab.store.root / "attempts").read_text().split())
    assert len(made) == LOAD
    assert set(made.values()) == {1}
    assert all(lab.store.is_done(each) for each in request.artifacts)


def test_arrays_keep_to_their_limits(lab: Lab) -> None:
    many = [
        artifact("stage", config={"n": number, "do": "sleep", "seconds": 100}, label="many")
        for number in range(250)
    ]
    jobs = lab.submit(make_request(*many), "[kind.fake_stage]\nparallel = 1")
    arrays = Counter(job.job.partition("_")[0] for job in jobs.values())
    assert sorted(arrays.values()) == [51, 199], "the cluster's MaxArraySize is 200"
    shown = lab.cluster.command("scontrol", "show", "job", next(iter(arrays))).stdout
    assert "ArrayTaskThrottle=1" in shown


def test_two_processes_a_job_find_each_other(lab: Lab) -> None:
    pair = artifact("stage", config={"do": "ranks"}, label="pair")
    lab.submit(make_request(pair), "[kind.fake_stage]\ntasks = 2")
    lab.until_over(pair)
    assert {name: lab.result(pair)[name] for name in ("world", "total")} == {"world": 2, "total": 3.0}


def test_a_refused_submission_withdraws_what_was_queued(lab: Lab) -> None:
    a = artifact("teacher", config={}, label="a")
    b = artifact("stage", config={}, inputs={"teacher": a}, label="b")
    with pytest.raises(SlurmError, match="kind fake_stage"):
        lab.submit(make_request(a, b), '[kind.fake_stage]\npartition = "nope"')
    lab.until("an empty queue", lab.queue_is_empty)
    assert not list((lab.store.root / "jobs").glob("*"))


def test_a_store_that_fills_up_withdraws_what_was_queued(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    a = artifact("teacher", config={}, label="a")
    b = artifact("stage", config={"do": "sleep", "seconds": 100}, inputs={"teacher": a}, label="b")
    record = ledger.record

    def fill_up(store: Store, noted: Artifact, job: ledger.JobRecord) -> None:
        if noted == b:
            raise OSError(errno.ENOSPC, "No space left on device")
        record(store, noted, job)

    monkeypatch.setattr(ledger, "record", fill_up)
    with pytest.raises(StoreError, match="No space left on device"):
        lab.submit(make_request(a, b))
    lab.until("an empty queue", lab.queue_is_empty)
    assert not list((lab.store.root / "jobs").glob("*"))


def test_the_profiles_defaults_are_accepted_by_a_cluster_that_has_them(lab: Lab, tmp_path: Path) -> None:
    a = artifact("teacher", config={}, label="a")
    slurm.check([a], load_cluster(None, "smoke"), tmp_path / "logs")
