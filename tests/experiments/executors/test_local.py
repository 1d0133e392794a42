"""The local executor: the plan by a bounded number of workers, each artifact once, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from making import make_request

from experiments.artifacts import Artifact, artifact
from experiments.executors.local import run_locally
from experiments.running.stop import Interrupted, Stop
from experiments.store import Store

HERE = Path(__file__).parent
MAKERS = "fake_makers:find"


class Events:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def started(self, artifact: Artifact) -> None:
        self.seen.append(("started", artifact.label))

    def advanced(self, artifact: Artifact, done: int, total: int, remaining: float | None) -> None:
        self.seen.append(("advanced", artifact.label))

    def finished(self, artifact: Artifact, result: Mapping[str, Any]) -> None:
        self.seen.append(("finished", artifact.label))

    def failed(self, artifact: Artifact, reason: str) -> None:
        self.seen.append(("failed", artifact.label))

    def waiting(self, artifact: Artifact, owner: Mapping[str, Any]) -> None:
        self.seen.append(("waiting", artifact.label))


@pytest.fixture(autouse=True)
def importable_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))


def attempts(store: Store) -> Counter[str]:
    return Counter((store.root / "attempts").read_text().split())


def test_a_plan_with_failures_and_a_killed_worker(store: Store) -> None:
    a = artifact("teacher", config={}, label="a")
    killer = artifact("stage", config={"do": "die"}, inputs={"teacher": a}, label="killer")
    failing = artifact("stage", config={"do": "fail"}, inputs={"teacher": a}, label="failing")
    below = artifact("evaluation", config={"of": 1}, inputs={"tokenizer": killer}, label="below")
    lowest = artifact("evaluation", config={"of": 2}, inputs={"tokenizer": below}, label="lowest")
    fine = artifact("evaluation", config={"of": 3}, inputs={"tokenizer": a}, label="fine")
    events = Events()
    failures = run_locally(
        make_request(a, killer, failing, below, lowest, fine), store, 2, [events], Stop(), MAKERS
    )
    assert store.is_done(a)
    assert store.is_done(fine)
    assert failures[failing] == "ValueError: it cannot be done"
    assert "was killed" in failures[killer]
    assert failures[below] == f"blocked by killer ({killer.name})"
    assert failures[lowest] == f"blocked by below ({below.name})"
    assert attempts(store) == {"a": 1, "killer": 1, "failing": 1, "fine": 1}
    assert ("started", "a") in events.seen
    assert ("finished", "fine") in events.seen
    assert ("failed", "lowest") in events.seen
    assert not list((store.root / "claims").glob("*.json"))


def test_each_worker_has_a_gpu_by_whatever_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["GPU-5ebe9f43", "GPU-a1b2c3d4"]
    monkeypatch.setattr("experiments.executors.local.visible_gpus", lambda: names)
    asking = [
        artifact("stage", config={"do": "say_gpu", "together": 2, "n": n}, label=f"g{n}") for n in range(2)
    ]
    assert run_locally(make_request(*asking), store, 2, [], Stop(), MAKERS) == {}
    assert {(store.result(each) or {})["gpu"] for each in asking} == set(names)


@pytest.mark.slow
def test_five_hundred_artifacts_by_four_workers_are_made_once_each(store: Store) -> None:
    top = [artifact("teacher", config={"number": number}, label=f"t{number}") for number in range(50)]
    rest = [
        artifact("stage", config={"number": number}, inputs={"teacher": top[number % 50]}, label=f"s{number}")
        for number in range(450)
    ]
    assert run_locally(make_request(*top, *rest), store, 4, [], Stop(), MAKERS) == {}
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
    with pytest.raises(Interrupted, match="goes on from there"):
        run_locally(make_request(*both), store, 2, [], stop, MAKERS)
    thread.join()
    assert not any(store.is_done(each) or store.failure(each) for each in both)
    steps = [int((store.work_folder(each) / "checkpoint.safetensors").read_text()) for each in both]
    assert run_locally(make_request(*both), store, 2, [], Stop(), MAKERS) == {}
    assert [(store.result(each) or {})["resumed_from"] for each in both] == steps


def test_workers_end_with_the_process_that_started_them(store: Store, tmp_path: Path) -> None:
    endless = artifact("stage", config={"do": "count"}, label="endless", steps=100_000)
    path = tmp_path / "request.json"
    make_request(endless).write(path)
    program = (
        "from pathlib import Path\n"
        "from experiments.planning.requests import Request\n"
        "from experiments.store import Store\n"
        "from experiments.running.stop import Stop\n"
        "from experiments.executors.local import run_locally\n"
        f"request, store = Request.load(Path({str(path)!r})), Store(Path({str(store.root)!r}))\n"
        f"run_locally(request, store, 1, [], Stop(), {MAKERS!r})"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    checkpoint = store.work_folder(endless) / "checkpoint.safetensors"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while store.claim_path(endless).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not store.claim_path(endless).exists(), "the worker checkpointed and left"
    assert store.failure(endless) is None
