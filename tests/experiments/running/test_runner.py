"""The runner: nothing twice, failures never cached, a stopped or killed run goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from experiments.artifacts import Artifact, artifact
from experiments.planning.plan import Plan
from experiments.running import runner
from experiments.running.datasets import DataSets
from experiments.running.stop import Interrupted, Stop
from experiments.store import Store, StoreError
from experiments.tasks.base import Task
from sftok.checkpoints.files import read_file
from sftok.training.loop import TrainingInterrupted
from sftok.weights import load_tensors, save_tensors

NO_DATA = cast(DataSets, type("NoData", (), {"load": None})())


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


def chain() -> tuple[Artifact, ...]:
    """a <- b <- c, and d beside them."""
    a = artifact("teacher", config={"name": "a"}, label="a")
    b = artifact("codes", config={"name": "b"}, inputs={"teacher": a}, label="b")
    c = artifact("stage", config={"name": "c"}, inputs={"codes": b}, label="c")
    d = artifact("teacher", config={"name": "d"}, label="d")
    return a, b, c, d


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


def plan_of(*artifacts: Artifact) -> Plan:
    return cast(Plan, type("PlanOfArtifacts", (), {"artifacts": artifacts})())


def make_all(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(runner, "find_maker", lambda kind: make)


def count_in_file(task: Task) -> dict[str, Any]:
    (task.folder / "made.txt").write_text(task.artifact.label)
    return {"inputs": sorted(str(path.name) for path in task.inputs.values())}


def test_everything_is_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make_all(monkeypatch, count_in_file)
    events = Events()
    assert runner.run(plan_of(*chain()), store, NO_DATA, [events], Stop()) == {}
    assert [label for event, label in events.seen if event == "finished"] == ["a", "b", "c", "d"]
    again = Events()
    assert runner.run(plan_of(*chain()), store, NO_DATA, [again], Stop()) == {}
    assert again.seen == []
    result = store.result(chain()[1])
    assert result is not None
    assert result["inputs"] == [chain()[0].name]
    assert result["provenance"]["commit"]
    assert list((store.root / "work").iterdir()) == []


def test_a_failure_blocks_its_dependents_and_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_b(task: Task) -> dict[str, Any]:
        if task.artifact.label == "b":
            raise ValueError("no <luck>\nsecond line")
        return {}

    make_all(monkeypatch, fail_b)
    a, b, c, d = chain()
    failures = runner.run(plan_of(a, b, c, d), store, NO_DATA, [], Stop())
    assert failures == {b: "ValueError: no <luck>", c: f"blocked by b ({b.name})"}
    assert store.is_done(a)
    assert store.is_done(d)
    assert not store.is_done(b)
    assert "Traceback" in (store.failure(b) or {})["traceback"]
    # Mended, the same command makes what is missing, and the failure is forgotten.
    make_all(monkeypatch, count_in_file)
    events = Events()
    assert runner.run(plan_of(a, b, c, d), store, NO_DATA, [events], Stop()) == {}
    assert [label for event, label in events.seen if event == "started"] == ["b", "c"]
    assert store.failure(b) is None


def test_a_stop_request_interrupts_and_keeps_the_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(task: Task) -> dict[str, Any]:
        (task.folder / "checkpoint.safetensors").write_text("half")
        raise TrainingInterrupted("stopped after 3 of 10 steps")

    make_all(monkeypatch, stopped)
    a = chain()[0]
    with pytest.raises(Interrupted, match="a: stopped after 3 of 10"):
        runner.run(plan_of(a), store, NO_DATA, [], Stop())
    assert not store.is_done(a)
    assert store.failure(a) is None, "an interruption is no failure"
    assert (store.work_folder(a) / "checkpoint.safetensors").exists()
    make_all(monkeypatch, count_in_file)
    runner.run(plan_of(a), store, NO_DATA, [], Stop())
    assert store.is_done(a)
    assert not (store.folder(a) / "checkpoint.safetensors").exists(), (
        "a finished artifact keeps no checkpoint"
    )


def test_nothing_is_begun_once_a_stop_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, made = Stop(), []

    def stop_after_the_first(task: Task) -> dict[str, Any]:
        made.append(task.artifact.label)
        stop.request()
        return {}

    make_all(monkeypatch, stop_after_the_first)
    with pytest.raises(Interrupted, match="stopped before b"):
        runner.run(plan_of(*chain()), store, NO_DATA, [], stop)
    assert made == ["a"]
    assert store.is_done(chain()[0])


def test_what_another_process_finished_before_the_claim_is_not_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = chain()[0]

    def claim(self: Store, artifact: Artifact) -> contextlib.AbstractContextManager[bool]:
        self.open_work(artifact)
        self.commit(artifact, {"theirs": True})
        return contextlib.nullcontext(True)

    monkeypatch.setattr(Store, "claim", claim)
    make_all(monkeypatch, lambda task: pytest.fail("it is there"))
    assert runner.run(plan_of(one), store, NO_DATA, [], Stop()) == {}
    assert store.result(one) == {"theirs": True}


def test_an_earlier_failure_is_forgotten_while_it_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, seen = chain()[0], []
    store.record_failure(one, {"reason": "of before"})
    make_all(monkeypatch, lambda task: seen.append(store.failure(one)) or {})
    assert runner.run(plan_of(one), store, NO_DATA, [], Stop()) == {}
    assert seen == [None]


@pytest.mark.parametrize(("told", "spent"), [({"seconds": 1234.5}, 1234.5), ({}, pytest.approx(0, abs=60))])
def test_the_time_is_the_makers_own_which_counts_interruptions(
    store: Store, monkeypatch: pytest.MonkeyPatch, told: dict[str, float], spent: float
) -> None:
    make_all(monkeypatch, lambda task: told)
    runner.run(plan_of(chain()[0]), store, NO_DATA, [], Stop())
    assert (store.result(chain()[0]) or {})["provenance"]["seconds"] == spent


def test_a_claim_lost_to_another_process_that_finished_is_no_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = chain()[0]

    def overtaken(task: Task) -> dict[str, Any]:
        store.commit(task.artifact, {"by": "another"})
        raise FileNotFoundError(task.folder / "checkpoint.safetensors")

    make_all(monkeypatch, overtaken)
    assert runner.run(plan_of(a), store, NO_DATA, [], Stop()) == {}
    assert store.failure(a) is None
    assert store.result(a) == {"by": "another"}


@pytest.mark.parametrize("read", [load_tensors, read_file])
def test_a_damaged_input_is_to_be_made_again_as_a_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    a, b = chain()[:2]

    def damaged(task: Task) -> dict[str, Any]:
        if task.artifact == a:
            save_tensors(task.folder / "model.safetensors", {"w": torch.zeros(2)})
            return {}
        read(task.inputs["teacher"] / "model.safetensors")
        return {}

    make_all(monkeypatch, damaged)
    runner.run(plan_of(a), store, NO_DATA, [], Stop())
    weights = store.folder(a) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    failures = runner.run(plan_of(a, b), store, NO_DATA, [], Stop())
    assert f"{weights}: " in failures[b]
    remedy = f"to have it made again, delete the folder {store.folder(a)} and run again"
    assert failures[b].endswith(f" ({remedy})")
    shutil.rmtree(store.folder(a))
    assert runner.run(plan_of(a, b), store, NO_DATA, [], Stop()) == {}


def test_a_failure_is_recorded_where_torch_cannot_be_imported(store: Store) -> None:
    script = (
        "import sys; from pathlib import Path; sys.modules['torch'] = None; "
        "from experiments.artifacts import artifact; from experiments.running.runner import note_failure; "
        "from experiments.store import Store; "
        "made = artifact('teacher', config={}, label='teacher'); "
        "print(note_failure(made, Store(Path(sys.argv[1])), ImportError('no libcudart'), first=False))"
    )
    command = [sys.executable, "-c", script, str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "ImportError: no libcudart\n"


def test_a_full_disk_ends_the_run_with_one_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(task: Task) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    make_all(monkeypatch, full)
    with pytest.raises(StoreError, match=r"No space left on device.*finished work is intact"):
        runner.run(plan_of(*chain()), store, NO_DATA, [], Stop())


def slow(task: Task) -> dict[str, Any]:
    with (task.folder.parent.parent / "log").open("a") as log:
        log.write(f"{task.artifact.label}\n")
    time.sleep(0.2)
    return {}


def run_in_process(root: Path) -> None:
    runner.find_maker = lambda kind: slow  # type: ignore[assignment]
    runner.POLL_SECONDS = 0.02
    failures = runner.run(plan_of(*chain()), Store(root), NO_DATA, [], Stop())
    assert failures == {}


def test_two_runners_share_one_store(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=run_in_process, args=(store.root,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted((store.root / "log").read_text().split()) == ["a", "b", "c", "d"]


def test_another_runners_work_holds_nothing_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While `a` is claimed elsewhere, `d` is made; `a` and what needs it follow once the claim is gone."""
    make_all(monkeypatch, count_in_file)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)
    a, b, c, d = chain()
    events = Events()
    with store.claim(a) as ours:
        assert ours

        def release(seconds: float) -> None:
            assert store.is_done(d)
            store.claim_path(a).unlink(missing_ok=True)

        monkeypatch.setattr(runner.time, "sleep", release)
        assert runner.run(plan_of(a, b, c, d), store, NO_DATA, [events], Stop()) == {}
    assert [label for event, label in events.seen if event == "finished"] == ["d", "a", "b", "c"]
    assert [label for event, label in events.seen if event == "waiting"] == ["a"]
