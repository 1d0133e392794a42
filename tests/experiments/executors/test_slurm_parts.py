"""The Slurm executor's parts, with stand-ins for its programs; `tests/slurm` has the real ones."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from making import make_request

from experiments.artifacts import Artifact, artifact
from experiments.commands import cancel as cancelling
from experiments.commands import logs, retry, status
from experiments.commands.executors import run_on_cluster
from experiments.commands.wiring import Wiring
from experiments.executors import ledger, preflight, queue, slurm, watch
from experiments.executors.job import ArtifactJob, JobError
from experiments.executors.processes import announce, first_node
from experiments.executors.queue import JobState, SlurmError, job_states
from experiments.executors.resources import load_cluster
from experiments.executors.sbatch import job_executor
from experiments.executors.slurm import grouped
from experiments.executors.snapshot import take_snapshot
from experiments.records.collect import table_run
from experiments.running.provenance import COMMIT_FILE, checkout_commit
from experiments.store import Store, StoreError

SQUEUE = "12|RUNNING|None|n1\n13_0|PENDING|Priority|\n13_1|COMPLETED|None|n1\n"
SACCT = """\
13_1|COMPLETED|0:0|n1
13_1.0|COMPLETED|0:0|n1
14|FAILED|1:0|n1
14.batch|FAILED|1:0|n1
14.0|OUT_OF_MEMORY|0:125|n1
15|CANCELLED by 1000|0:0|n2
16|FAILED|9:0|n1
16.0|CANCELLED|0:9|n1
17|TIMEOUT|0:0|n1
17.0|CANCELLED|0:15|n1
18|NODE_FAIL|1:0|n3
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`squeue` and `sacct` that print what the files beside them say."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("squeue", SQUEUE), ("sacct", SACCT)):
        (folder / f"{name}.txt").write_text(text)
        (folder / name).write_text(f"#!/bin/sh\ncat {folder}/{name}.txt\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_states_come_from_the_queue_and_then_from_accounting(programs: Path) -> None:
    states = job_states(["12", "13_0", "13_1", "14", "15", "16", "17", "18", "99"])
    assert {job: state.state for job, state in states.items()} == {
        **{"12": "RUNNING", "13_0": "PENDING", "13_1": "COMPLETED", "14": "OUT_OF_MEMORY", "15": "CANCELLED"},
        **{"16": "FAILED", "17": "TIMEOUT", "18": "NODE_FAIL", "99": "MISSING"},
    }
    assert states["13_0"].reason == "Priority"
    assert states["15"].user == "1000"
    assert states["16"].signal == 9
    assert [job for job, state in states.items() if state.live] == ["12", "13_0"]


def test_without_accounting_a_job_that_is_gone_is_unknown(programs: Path) -> None:
    (programs / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    assert job_states(["14"])["14"].state == "UNKNOWN"


def test_without_accounting_the_controllers_short_memory_counts(programs: Path) -> None:
    (programs / "sacct").write_text("#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2; exit 1\n")
    (programs / "squeue.txt").write_text("14|CANCELLED|None|n1\n")
    assert job_states(["14"])["14"].state == "CANCELLED"


def test_an_accounting_that_is_away_for_a_moment_decides_nothing(programs: Path) -> None:
    (programs / "sacct").write_text("#!/bin/sh\necho 'sacct: error: Connection refused' >&2; exit 1\n")
    with pytest.raises(SlurmError, match="Connection refused"):
        job_states(["14"])


def test_tasks_that_never_started_share_a_line(programs: Path) -> None:
    (programs / "sacct.txt").write_text(
        "20_[0-1,4%3]|CANCELLED|0:0|None assigned\n20_2|COMPLETED|0:0|n1\n21_[7]|CANCELLED|0:0|\n"
    )
    states = job_states(["20_0", "20_1", "20_2", "20_4", "21_7", "20_3"])
    assert {job: state.state for job, state in states.items()} == {
        **dict.fromkeys(["20_0", "20_1", "20_4", "21_7"], "CANCELLED"),
        **{"20_2": "COMPLETED", "20_3": "MISSING"},
    }


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({"SLURM_JOB_ID": "12"}, "12"),
        ({"SLURM_JOB_ID": "12", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "12_3"),
        ({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "12_0"),
    ],
)
def test_a_job_of_an_array_knows_its_own_name(environment: dict[str, str], job: str) -> None:
    assert queue.this_job(environment) == job


@pytest.mark.parametrize(
    ("device", "text", "message"),
    [
        ("cuda", "gpus = 0", "gpus = 0 for 8 processes"),
        ("cuda", "gpus = 4", "gpus = 4 for 8 processes on each machine"),
        (
            "cuda",
            "tasks = 3\nnodes = 2",
            r"nodes = 2 of tasks = 3 cannot share a batch of 64 .*\(a\)",
        ),
        ("cpu", "gpus = 0\ntasks = 5", "tasks = 5 cannot share"),
        ("cpu", "gpus = 0", None),
        ("cuda", "gpus = 4\ntasks = 4\nnodes = 2", None),
    ],
)
def test_processes_that_could_only_fail_are_refused(
    tmp_path: Path, device: str, text: str, message: str | None
) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(f"[kind.stage]\n{text}")
    stage = artifact("stage", config={"training": {"batch_size": 64}}, label="a", device=device)
    resources = load_cluster(path, "paper").kinds["stage"]
    if message is None:
        preflight.check_processes(stage, resources)
    else:
        with pytest.raises(SlurmError, match=message):
            preflight.check_processes(stage, resources)


def test_what_slurm_said_of_an_older_job_is_not_written_over_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "runs")
    store.prepare()
    made = artifact("stage", config={}, label="a")
    ledger.record(store, made, record("12"))

    def answer(jobs: object) -> dict[str, JobState]:
        ledger.record(store, made, record("13"))  # a `retry`, while Slurm is asked
        return {"12": JobState(state="FAILED", exit_code=1)}

    monkeypatch.setattr(watch, "job_states", answer)
    watch.refresh(store, [made])
    latest = ledger.job_of(store, made)
    assert latest is not None
    assert (latest.job, latest.state) == ("13", "PENDING")
    assert store.failure(made) is None


WIRING = Wiring(spec_packages=("experiments.paper",), build_report=lambda *given: Path(), exporters={})


def submitted(store: Store, *artifacts: Artifact, first: int) -> None:
    """As if `artifacts` had been submitted, as jobs from the number `first` on."""
    request = make_request(*artifacts)
    request.save(store)
    submission = ledger.new_submission(store, request)
    submission.save_cluster(load_cluster(None, "smoke").dump())
    for number, made in enumerate(artifacts, first):
        ledger.record(store, made, record(str(number)))


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


def test_what_older_code_was_asked_for_is_not_made_by_newer_code(store: Store) -> None:
    old = dataclasses.replace(artifact("stage", config={}, label="a"), version=0)
    submitted(store, old, first=10)
    options = argparse.Namespace(experiment="table4", store=store.root, cluster=None, failed=True)
    with pytest.raises(StoreError, match=r"what makes a stage has changed since .*: a command"):
        retry.retry(options, [], WIRING)


def test_a_controller_that_does_not_answer_is_an_error(programs: Path) -> None:
    (programs / "squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Connection refused' >&2; exit 1\n"
    )
    with pytest.raises(SlurmError, match="Connection refused"):
        job_states(["14"])


def test_slurm_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SlurmError, match="squeue is not installed here"):
        job_states(["14"])


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (JobState(state="OUT_OF_MEMORY"), "out of memory (job 12 was given 4G); raise memory of kind stage"),
        (JobState(state="TIMEOUT"), "out of time (job 12 was given 60 min); raise time of kind stage"),
        (JobState(state="CANCELLED", user="0"), "cancelled (job 12, by user 0)"),
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
    assert watch.why_ended(made, record("12"), state).startswith(said)


def record(job: str) -> ledger.JobRecord:
    return ledger.JobRecord(job=job, submission="s", log="log", memory="4G", minutes=60, submitted="now")


def test_a_dead_job_leaves_a_reason_and_blocks(store: Store, programs: Path) -> None:
    starved = artifact("stage", config={"n": 1}, label="starved")
    running = artifact("teacher", config={"n": 2}, label="running")
    below = artifact("evaluation", config={"n": 3}, inputs={"tokenizer": starved}, label="below")
    request = make_request(starved, running, below)
    for each, job in ((starved, "14"), (running, "12"), (below, "15")):
        ledger.record(store, each, record(job))
    watch.refresh(store, request.plan.artifacts)
    states = {state.label: state for state in table_run(store, request).artifacts}
    assert states["starved"].status == "failed"
    assert "out of memory" in (states["starved"].error or "")
    assert states["running"].note == "job 12: starting"
    assert states["below"].status == "waiting"
    assert states["below"].note == f"blocked by starved ({starved.name})"


def test_groups_are_arrays_of_equals_after_their_inputs() -> None:
    a = artifact("teacher", config={}, label="a")
    stages = [artifact("stage", config={"n": n}, inputs={"teacher": a}, label=f"s{n}") for n in range(5)]
    evaluations = [
        artifact("evaluation", config={"n": n}, inputs={"tokenizer": stages[n]}, label=f"e{n}")
        for n in range(2)
    ]
    order = [a, stages[0], evaluations[0], *stages[1:], evaluations[1]]
    groups = grouped(order, largest=3)
    assert groups == [[a], stages[:3], stages[3:], [evaluations[0]], [evaluations[1]]]


def job_of(store: Store, request: Path, made: Artifact) -> ArtifactJob:
    return ArtifactJob(
        store=store.root,
        request=request,
        artifact=made.name,
        minutes=60,
        notice_seconds=60,
        max_requeues=0,
        makers="fake_makers:find",
    )


def test_a_job_whose_input_is_not_there_says_so(store: Store, tmp_path: Path) -> None:
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


def test_a_snapshot_holds_the_code_and_its_commit(tmp_path: Path) -> None:
    path = take_snapshot(tmp_path)
    assert (path / "experiments" / "running" / "runner.py").is_file()
    assert (path / "sftok" / "models" / "tokenizer.py").is_file()
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
    with pytest.raises(StoreError, match=r"No space left on device.*nothing is queued, free some space"):
        slurm.submit(make_request(a), store, load_cluster(None, "smoke"))
    assert ledger.job_of(store, a) is None


def test_every_table_is_checked_before_the_first_is_queued(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(artifacts: list[Artifact], *others: object) -> None:
        raise SlurmError(f"no such kind: {artifacts[-1].kind}")

    monkeypatch.setattr(slurm, "check", check)
    requests = [make_request(artifact(kind, config={}, label=kind)) for kind in ("stage", "evaluation")]
    options = argparse.Namespace(cluster=None, profile="smoke")
    wiring = Wiring(spec_packages=(), build_report=lambda *given: None, exporters={})
    with pytest.raises(SlurmError, match="no such kind: evaluation"):
        run_on_cluster(options, requests, store, wiring)
    assert not list((store.root / "requests").iterdir())
    assert not (store.root / "submissions").exists()


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("vm", "vm"),
        ("gpu[007-009,12],cpu1", "gpu007"),
        ("a1,a2", "a1"),
        ("node[3,5]", "node3"),
        ("rack1-n[01-02]-ib", "rack1-n01-ib"),
    ],
)
def test_the_master_is_the_first_node(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_a_process_finds_its_place() -> None:
    environment = {
        **{"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"},
        **{"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_JOB_ID": "40005"},
    }
    process = announce(environment)
    assert (process.rank, process.world, process.local_rank) == (3, 4, 1)
    assert {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")} == {
        **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "n1"}
    }
    assert announce({}).world == 1


def test_the_failure_of_one_process_ends_the_job(tmp_path: Path) -> None:
    resources = load_cluster(None, "paper").kinds["stage"]
    executor = job_executor(tmp_path, resources, setup=[], dependencies=[], name="stage")
    (command,) = (
        line
        for line in executor._make_submission_file_text("true", "").splitlines()
        if line.startswith("srun")
    )
    assert "--kill-on-bad-exit=1" in command


@pytest.mark.parametrize(
    ("text", "limit"), [("infinite", None), ("1:00", 1), ("30", 1), ("1:30:00", 90), ("2-00:00:00", 2880)]
)
def test_partition_limits(text: str, limit: int | None) -> None:
    assert preflight._limit(text) == limit


def test_only_one_submits_at_a_time(store: Store) -> None:
    second = ledger.submitting(store)
    with ledger.submitting(store), pytest.raises(RuntimeError, match="another process is submitting"), second:
        pass


def test_ids_of_one_array_are_asked_for_once() -> None:
    assert list(queue._batches({"12_1", "12_2", "3"})) == ["3,12"]


def test_a_job_starts_without_waiting_for_torch() -> None:
    look = "import sys, experiments.executors.job; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
