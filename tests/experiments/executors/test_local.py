"""The local executor: a bounded number of workers make each artifact once, whatever dies."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from making import SOURCE, Recorder, artifact, make_request

from experiments.executors.events import Event, Preparing, Progress, Started
from experiments.executors.local import Watch, WorkerError, run_locally
from experiments.executors.monitor import FileMonitor
from experiments.executors.stop import Interrupted, Stop
from experiments.store import Store, StoreError, write_json


def attempts(store: Store) -> Counter[str]:
    return Counter((store.root / "attempts").read_text().split())


def test_failures_and_a_killed_worker_cost_what_depends_on_them(store: Store) -> None:
    a = artifact("teacher", config={}, label="a")
    killer = artifact("stage", config={"do": "die"}, inputs={"teacher": a}, label="killer")
    failing = artifact("stage", config={"do": "fail"}, inputs={"teacher": a}, label="failing")
    below = artifact("evaluation", config={"of": 1}, inputs={"tokenizer": killer}, label="below")
    lowest = artifact("evaluation", config={"of": 2}, inputs={"tokenizer": below}, label="lowest")
    fine = artifact("evaluation", config={"of": 3}, inputs={"tokenizer": a}, label="fine")
    events = Recorder()
    failures = run_locally(make_request(a, killer, failing, below, lowest, fine), store, 2, [events], Stop())
    assert store.is_done(a)
    assert store.is_done(fine)
    assert failures[failing] == "ValueError: it cannot be done"
    assert "was killed" in failures[killer]
    assert failures[below] == f"blocked by killer ({killer.name})"
    assert failures[lowest] == f"blocked by below ({below.name})"
    assert attempts(store) == {"a": 1, "killer": 1, "failing": 1, "fine": 1}
    assert ("Started", "a") in events.seen
    assert ("Finished", "fine") in events.seen
    assert ("Failed", "lowest") in events.seen
    assert not list((store.root / "locks").glob("*.json"))


def test_each_worker_has_a_gpu_whatever_its_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["GPU-5ebe9f43", "GPU-a1b2c3d4"]
    monkeypatch.setattr("experiments.executors.local.visible_gpus", lambda: names)
    asking = [
        artifact("stage", config={"do": "say_gpu", "together": 2, "n": n}, label=f"g{n}") for n in range(2)
    ]
    assert run_locally(make_request(*asking), store, 2, [], Stop()) == {}
    assert {store.result(each).gpu for each in asking} == set(names)


def test_what_a_worker_prepares_is_told_once_and_then_its_progress(store: Store) -> None:
    compiled, told = artifact("stage", label="compiled"), list[Event]()
    store.prepare()
    watch = Watch([compiled], store, [told.append])
    with store.lock(compiled):
        store.open_work(compiled, compiled.identity)
        monitor = FileMonitor(store.work_folder(compiled), lambda *call: None, lambda: False)
        monitor.preparing("compiling")
        watch.look()
        watch.look()
        monitor.progress(1, 4)
        watch.look()
    assert told == [Started(compiled), Preparing(compiled, "compiling"), Progress(compiled, 1, 4, None)]


@pytest.mark.slow
def test_five_hundred_artifacts_by_four_workers_are_made_once_each(store: Store) -> None:
    top = [artifact("teacher", config={"number": number}, label=f"t{number}") for number in range(50)]
    rest = [
        artifact("stage", config={"number": number}, inputs={"teacher": top[number % 50]}, label=f"s{number}")
        for number in range(450)
    ]
    assert run_locally(make_request(*top, *rest), store, 4, [], Stop()) == {}
    made = attempts(store)
    assert len(made) == 500
    assert set(made.values()) == {1}
    assert len(list((store.root / "artifacts").iterdir())) == 500


def test_a_stop_request_checkpoints_every_worker_and_a_next_run_resumes(store: Store) -> None:
    both = [
        artifact("stage", config={"do": "count", "number": number}, label=f"c{number}", steps=400)
        for number in range(2)
    ]
    stop = Stop()

    def stop_when_both_count() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if all((store.work_folder(each) / "checkpoint.safetensors").exists() for each in both):
                break
            time.sleep(0.05)
        stop.request()

    thread = threading.Thread(target=stop_when_both_count)
    thread.start()
    with pytest.raises(Interrupted, match="the same command resumes the run"):
        run_locally(make_request(*both), store, 2, [], stop)
    thread.join()
    assert not any(store.is_done(each) or store.failure(each) for each in both)
    steps = [int((store.work_folder(each) / "checkpoint.safetensors").read_text()) for each in both]
    assert run_locally(make_request(*both), store, 2, [], Stop()) == {}
    assert [store.result(each).resumed_from for each in both] == steps


def test_workers_stop_within_seconds_of_their_parent(store: Store, tmp_path: Path) -> None:
    endless = artifact("stage", config={"do": "count"}, label="endless", steps=100_000)
    path = tmp_path / "request.json"
    make_request(endless).write(path)
    program = (
        "from pathlib import Path\n"
        "from experiments.store import Store\n"
        "from experiments.executors.stop import Stop\n"
        "from experiments.executors.local import run_locally\n"
        "from experiments.requests import StoredRequest\n"
        f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r}); import fake_artifacts\n"
        f"request, store = StoredRequest.load(Path({str(path)!r})), Store(Path({str(store.root)!r}))\n"
        "run_locally(request, store, 1, [], Stop())"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    checkpoint = store.work_folder(endless) / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert checkpoint.exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while store.lock_path(endless).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not store.lock_path(endless).exists(), "the worker wrote a checkpoint and stopped"
    assert store.failure(endless) is None


def test_a_damaged_artifact_is_made_again_by_a_worker(store: Store) -> None:
    a = artifact("teacher", config={}, label="a")
    assert run_locally(make_request(a), store, 1, [], Stop()) == {}
    (store.folder(a) / "result.json").write_text("{")
    events = Recorder()
    assert run_locally(make_request(a), store, 1, [events], Stop()) == {}
    assert events.seen[-1] == ("Finished", "a")
    assert attempts(store) == {"a": 2}


def test_workers_that_cannot_start_are_one_error(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("raise ImportError('no such part')")
    source = {"name": "broken", "path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    request = make_request(artifact("teacher", label="a")).model_copy(update={"source": source})
    with pytest.raises(WorkerError, match=r"workers exit before they compute anything: .*no such part"):
        run_locally(request, store, 1, [], Stop())


def test_what_a_dead_process_of_another_run_has_locked_is_released(store: Store) -> None:
    a = artifact("teacher", config={}, label="a")
    left = {"host": "another-host", "pid": 1, "pids_of": "", "started": 0.0, "token": "theirs"}
    write_json(store.lock_path(a), left)
    os.utime(store.lock_path(a), (0, 0))
    assert run_locally(make_request(a), store, 1, [], Stop()) == {}
    assert attempts(store) == {"a": 1}


def test_a_worker_that_cannot_use_the_store_ends_the_run(store: Store) -> None:
    full = artifact("teacher", config={"do": "fill"}, label="a")
    with pytest.raises(StoreError, match=r"No space left on device.*finished work is intact"):
        run_locally(make_request(full), store, 1, [], Stop())
