"""What goes wrong on a cluster, on a real Slurm: jobs go on where they were, or say what ended them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from conftest import Lab
from making import artifact, make_request
from slurm_files import memory_limits

from experiments.artifacts import Artifact
from experiments.executors import ledger, slurm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def counting(steps: int = 200, **config: object) -> Artifact:
    return artifact("stage", config={"do": "count", **config}, label="counting", steps=steps)


def start_counting(lab: Lab, counter: Artifact, text: str = "") -> str:
    """Submit it and wait for its first checkpoint; returns the job."""
    jobs = lab.submit(make_request(counter), text)
    lab.until("a checkpoint", lab.checkpoint(counter).exists)
    return jobs[counter].job


def assert_resumed(lab: Lab, counter: Artifact) -> None:
    result = lab.result(counter)
    assert result["resumed_from"] > 0
    assert result["counted"] == counter.steps
    assert lab.attempts("counting") >= 2


def test_a_requeued_job_goes_on_from_its_checkpoint(lab: Lab) -> None:
    counter = counting()
    job = start_counting(lab, counter)
    assert lab.cluster.command("scontrol", "requeue", job).returncode == 0
    lab.until_over(counter)
    assert_resumed(lab, counter)


def test_a_job_that_is_told_to_stop_requeues_itself(lab: Lab) -> None:
    counter = counting()
    job = start_counting(lab, counter)
    assert lab.cluster.command("scancel", "--signal=TERM", job).returncode == 0
    lab.until_over(counter)
    assert_resumed(lab, counter)


def test_a_job_of_an_array_requeues_itself_and_not_the_array(lab: Lab) -> None:
    left, right = (
        artifact("stage", config={"do": "count", "n": n}, label=("left", "right")[n], steps=400)
        for n in (0, 1)
    )
    jobs = lab.submit(make_request(left, right))
    assert len({job.job.partition("_")[0] for job in jobs.values()}) == 1, "one array"
    lab.until("both at it", lambda: all(lab.checkpoint(each).exists() for each in (left, right)))
    # One of the two has the number of the array for its own.
    told, other = sorted((left, right), key=lambda each: not is_the_arrays(lab, jobs[each].job))
    assert is_the_arrays(lab, jobs[told].job)
    assert lab.cluster.command("scancel", "--signal=TERM", jobs[told].job).returncode == 0
    lab.until_over(left, right)
    assert lab.result(told)["resumed_from"] > 0
    assert lab.attempts(told.label) == 2
    assert lab.result(other)["resumed_from"] == 0
    assert lab.attempts(other.label) == 1


def is_the_arrays(lab: Lab, job: str) -> bool:
    shown = lab.cluster.command("scontrol", "show", "job", job).stdout
    return shown.startswith(f"JobId={job.partition('_')[0]} ")


def test_a_preempted_job_goes_on_afterwards(lab: Lab) -> None:
    counter = counting()
    start_counting(lab, counter, '[kind.fake_stage]\npartition = "scavenge"\ncpus = 4')
    urgent = artifact("teacher", config={"n": 1}, label="urgent")
    lab.submit(make_request(urgent), '[kind.fake_teacher]\npartition = "main"\ncpus = 4')
    lab.until_over(urgent, counter)
    assert_resumed(lab, counter)


def test_running_out_of_time(lab: Lab) -> None:
    counter = counting(steps=1000)
    endless = artifact("evaluation", config={"do": "sleep", "seconds": 300}, label="endless")
    blocked = artifact("codes", config={}, inputs={"it": endless}, label="blocked")
    anew = artifact("evaluation", config={"do": "start_over", "seconds": 300}, label="start-over")
    request = make_request(counter, endless, blocked, anew)
    lab.submit(request, "time = 1\nnotice_seconds = 20")
    lab.until_over(counter, endless, anew, seconds=360)
    assert_resumed(lab, counter)
    assert "out of time" in lab.reason(endless)
    assert "raise time of kind fake_evaluation" in lab.reason(endless)
    assert "it would start over: raise time of kind fake_evaluation" in lab.reason(anew)
    assert lab.attempts("start-over") == 1
    lab.until("the end of what is blocked", lab.queue_is_empty)
    assert lab.store.failure(blocked) is None


def test_a_killed_job_fails_and_blocks_and_a_retry_resumes(lab: Lab) -> None:
    counter = counting()
    below = artifact("evaluation", config={}, inputs={"tokenizer": counter}, label="below")
    lowest = artifact("codes", config={}, inputs={"it": below}, label="lowest")
    beside = artifact("teacher", config={}, label="beside")
    request = make_request(counter, below, lowest, beside)
    lab.submit(request)
    lab.until("a checkpoint", lab.checkpoint(counter).exists)
    os.kill(json.loads(lab.store.lock_path(counter).read_text())["pid"], signal.SIGKILL)
    lab.until_over(counter, beside)
    assert "killed by signal 9 SIGKILL" in lab.reason(counter)
    assert lab.store.is_done(beside)
    lab.until("the end of what is blocked", lab.queue_is_empty)
    assert not any(map(lab.store.failure, (below, lowest)))
    again = lab.submit(request)
    assert set(again) == {counter, below, lowest}
    lab.until_over(counter, below, lowest)
    assert_resumed(lab, counter)
    assert lab.store.is_done(lowest)


def test_scancel_is_told_apart(lab: Lab) -> None:
    counter = counting(steps=2000)
    start_counting(lab, counter)
    slurm.cancel(ledger.jobs_of(lab.store, [counter]).values())
    lab.until_over(counter)
    assert "canceled" in lab.reason(counter)
    assert int(lab.checkpoint(counter).read_text()) > 0


@pytest.mark.skipif(
    not memory_limits(), reason="no writable cgroup v1 memory controller: Slurm cannot limit memory"
)
def test_running_out_of_memory_is_told_apart(lab: Lab) -> None:
    eater = artifact("stage", config={"do": "eat"}, label="eater")
    lab.submit(make_request(eater))
    lab.until_over(eater)
    assert "out of memory" in lab.reason(eater)
    assert "was given 1G; raise memory of kind fake_stage" in lab.reason(eater).replace("); ", "; ")


def test_a_crash_and_a_failure_are_told_apart(lab: Lab) -> None:
    crash = artifact("stage", config={"do": "die"}, label="crash")
    failing = artifact("evaluation", config={"do": "fail"}, label="failing")
    jobs = lab.submit(make_request(crash, failing))
    lab.until_over(crash, failing)
    assert "crashed: killed by signal 9" in lab.reason(crash)
    assert lab.reason(failing) == "ValueError: it cannot be done"
    log = (lab.store.root / jobs[failing].log).read_text()
    assert "a line of the log" in log
    assert "it cannot be done" in log


def test_the_failure_of_one_process_ends_all(lab: Lab) -> None:
    pair = artifact("stage", config={"do": "fail_in_second"}, label="pair")
    lab.submit(make_request(pair), "[kind.fake_stage]\ntasks = 2")
    lab.until_over(pair)
    assert lab.reason(pair) == "process 1 of 2: ValueError: image 7 cannot be read"
    lab.until("the end of the other", lab.queue_is_empty)


def test_the_node_daemon_is_restarted_under_a_job(lab: Lab) -> None:
    counter = counting()
    start_counting(lab, counter)
    lab.cluster.kill("slurmd")
    lab.cluster.start_slurmd()
    lab.until_over(counter)
    assert lab.result(counter)["counted"] == counter.steps


def test_the_node_vanishes_and_comes_back(lab: Lab) -> None:
    counter = counting(steps=400)
    start_counting(lab, counter)
    lab.cluster.lose_node()
    lab.until("a lost node", lambda: "down" in lab.cluster.command("sinfo", "-h", "-o", "%t").stdout)
    lab.cluster.start_slurmd()
    lab.until_over(counter)
    assert_resumed(lab, counter)


def test_the_controller_is_restarted_under_a_job(lab: Lab) -> None:
    counter = counting(steps=300)
    start_counting(lab, counter)
    # It writes what it knows up to five seconds later; a job that it has not written yet is lost with it.
    time.sleep(6)
    lab.cluster.kill("slurmctld")
    lab.cluster.start_slurmctld()
    lab.until("the controller", lambda: lab.cluster.command("squeue").returncode == 0)
    lab.until_over(counter)
    assert lab.result(counter)["counted"] == counter.steps
