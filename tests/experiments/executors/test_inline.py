"""The runner: nothing is made twice, failures are never cached, a stopped or killed run resumes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_artifacts import Fake, FakeCodes
from making import SOURCE, Recorder, artifact

from experiments.artifacts import Artifact
from experiments.artifacts.context import Context
from experiments.executors import inline
from experiments.executors.inline import Runner
from experiments.executors.stop import Interrupted, Stop
from experiments.planning.costs import estimate
from experiments.store import Store, StoreError
from sftok.checkpoints.files import read_file
from sftok.data.base import ImageSet
from sftok.io.weights import load_tensors, save_tensors
from sftok.training.interruption import TrainingInterrupted

Make = Callable[[Fake, Context], dict[str, Any]]
THEIRS = {"theirs": True, "provenance": {"started": "now", "seconds": 1.0}}


def chain() -> tuple[Fake, ...]:
    """a <- b <- c, and d beside them."""
    a = artifact("teacher", config={"name": "a"}, label="a")
    b = artifact("codes", config={"name": "b"}, inputs={"teacher": a}, label="b")
    c = artifact("stage", config={"name": "c"}, inputs={"codes": b}, label="c")
    d = artifact("teacher", config={"name": "d"}, label="d")
    return a, b, c, d


def no_data(split: str) -> ImageSet:
    raise AssertionError("nothing here reads images")


def runner(store: Store, make: Make, *listeners: Recorder, stop: Stop | None = None) -> Runner:
    """A runner of fake artifacts that are made by `make`."""
    Fake.make = make  # type: ignore[method-assign]
    return Runner(store, no_data, listeners, stop)


@pytest.fixture(autouse=True)
def fakes_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "make", Fake.make)


def write_file(artifact: Fake, context: Context) -> dict[str, Any]:
    (context.folder / "made.txt").write_text(f"made: {artifact.label}")
    return {"inputs": [context.folder_of(each).name for each in artifact.inputs.values()]}


def test_everything_is_made_once(store: Store) -> None:
    first, second = Recorder(), Recorder()
    assert runner(store, write_file, first).run(chain()) == {}
    assert first.labels("Finished") == ["a", "b", "c", "d"]
    assert runner(store, write_file, second).run(chain()) == {}
    assert second.seen == []
    result = store.result(chain()[1])
    assert result is not None
    assert result.inputs == [chain()[0].name]  # type: ignore[attr-defined]
    assert result.provenance.commit != "unknown"
    longer = FakeCodes(**{**dict(chain()[1]), "steps": 2})
    costs = estimate([longer], store, {})
    assert list(costs.values()) != [None], "its time tells how long equal work will take"
    assert list((store.root / "work").iterdir()) == []


def test_a_failure_blocks_what_depends_on_it_and_nothing_else(store: Store) -> None:
    def fail_b(artifact: Fake, context: Context) -> dict[str, Any]:
        if artifact.label == "b":
            raise ValueError("no <luck>\nsecond line")
        return {}

    a, b, c, d = chain()
    failures = runner(store, fail_b).run((a, b, c, d))
    assert failures == {b: "ValueError: no <luck>", c: f"blocked by b ({b.name})"}
    assert [store.is_done(each) for each in (a, b, c, d)] == [True, False, False, True]
    assert "Traceback" in (store.failure(b) or {})["traceback"]
    events = Recorder()
    assert runner(store, write_file, events).run((a, b, c, d)) == {}
    assert events.labels("Started") == ["b", "c"]
    assert store.failure(b) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", bytes(100), b'{"rows": '])
def test_a_damaged_artifact_is_made_again(store: Store, content: bytes) -> None:
    assert runner(store, write_file).run(chain()) == {}
    damaged = chain()[1]
    (store.folder(damaged) / "result.json").write_bytes(content)
    events = Recorder()
    assert runner(store, write_file, events).run(chain()) == {}
    assert events.labels("Finished") == ["b"]
    assert store.is_done(damaged)


def test_a_damaged_artifact_that_cannot_be_made_again_fails(store: Store) -> None:
    runner(store, write_file).run(chain()[:1])
    (store.folder(chain()[0]) / "result.json").write_text("{")

    def fail(artifact: Fake, context: Context) -> dict[str, Any]:
        raise ValueError("no more images")

    failures = runner(store, fail).run(chain())
    assert [each.label for each in failures] == ["a", "b", "c", "d"]


def test_a_stop_request_interrupts_and_keeps_the_work(store: Store) -> None:
    def stopped(artifact: Fake, context: Context) -> dict[str, Any]:
        (context.folder / "checkpoint.safetensors").write_text("half")
        raise TrainingInterrupted("stopped after 3 of 10 steps")

    a = chain()[0]
    with pytest.raises(Interrupted, match="a: stopped after 3 of 10"):
        runner(store, stopped).run([a])
    assert not store.is_done(a)
    assert store.failure(a) is None
    assert (store.work_folder(a) / "checkpoint.safetensors").exists()
    runner(store, write_file).run([a])
    assert store.is_done(a)
    assert not (store.folder(a) / "checkpoint.safetensors").exists()


def test_nothing_starts_after_a_stop_request(store: Store) -> None:
    stop, made = Stop(), []

    def stop_after_the_first(artifact: Fake, context: Context) -> dict[str, Any]:
        made.append(artifact.label)
        stop.request()
        return {}

    with pytest.raises(Interrupted, match="stopped before b"):
        runner(store, stop_after_the_first, stop=stop).run(chain())
    assert made == ["a"]
    assert store.is_done(chain()[0])


def test_what_another_process_finished_before_the_lock_is_not_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = chain()[0]

    def lock(self: Store, artifact: Artifact) -> contextlib.AbstractContextManager[bool]:
        self.open_work(artifact, {})
        self.commit(artifact, THEIRS)
        return contextlib.nullcontext(True)

    monkeypatch.setattr(Store, "lock", lock)
    assert runner(store, lambda *given: pytest.fail("it is finished")).run([one]) == {}
    assert store.result(one).theirs  # type: ignore[union-attr]


def test_an_earlier_failure_is_forgotten_while_the_artifact_is_made_again(store: Store) -> None:
    one, seen = chain()[0], []
    store.record_failure(one, {"reason": "an earlier one"})
    assert runner(store, lambda *given: seen.append(store.failure(one)) or {}).run([one]) == {}
    assert seen == [None]


@pytest.mark.parametrize(("told", "spent"), [({"seconds": 1234.5}, 1234.5), ({}, pytest.approx(0, abs=60))])
def test_the_makers_own_time_counts_because_it_includes_earlier_attempts(
    store: Store, told: dict[str, float], spent: float
) -> None:
    runner(store, lambda *given: told).run(chain()[:1])
    assert store.result(chain()[0]).provenance.seconds == spent  # type: ignore[union-attr]


def test_a_lock_lost_to_another_process_that_finished_is_no_failure(store: Store) -> None:
    a = chain()[0]

    def overtaken(artifact: Fake, context: Context) -> dict[str, Any]:
        store.commit(artifact, THEIRS)
        raise FileNotFoundError(context.folder / "checkpoint.safetensors")

    assert runner(store, overtaken).run([a]) == {}
    assert store.failure(a) is None
    assert store.result(a).theirs  # type: ignore[union-attr]


@pytest.mark.parametrize("read", [load_tensors, read_file])
def test_a_damaged_input_fails_with_the_remedy(store: Store, read: Callable[[Path], object]) -> None:
    a, b = chain()[:2]

    def make(artifact: Fake, context: Context) -> dict[str, Any]:
        if artifact == a:
            save_tensors(context.folder / "model.safetensors", {"w": torch.zeros(2)})
        else:
            read(context.folder_of(artifact.source) / "model.safetensors")
        return {}

    runner(store, make).run([a])
    weights = store.folder(a) / "model.safetensors"
    weights.write_bytes(b"\xff" * weights.stat().st_size)
    failures = runner(store, make).run([a, b])
    assert f"{weights}: " in failures[b]
    remedy = f"to compute it again, delete the folder {store.folder(a)} and run again"
    assert failures[b].endswith(f" ({remedy})")
    shutil.rmtree(store.folder(a))
    assert runner(store, make).run([a, b]) == {}


def test_a_failure_is_recorded_even_if_torch_cannot_be_imported(store: Store) -> None:
    script = (
        "import sys; from pathlib import Path; sys.modules['torch'] = None; "
        "from fake_artifacts import FakeTeacher; from experiments.executors.inline import note_failure; "
        "from experiments.store import Store; made = FakeTeacher(label='teacher'); "
        "print(note_failure(made, Store(Path(sys.argv[1])), ImportError('no libcudart'), first=False))"
    )
    command = [sys.executable, "-c", script, str(store.root)]
    place = os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE.parent), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=place)
    assert done.stdout == "ImportError: no libcudart\n"


def test_a_full_disk_ends_the_run_with_one_line(store: Store) -> None:
    def full(artifact: Fake, context: Context) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"No space left on device.*finished work is intact"):
        runner(store, full).run(chain())


def slow(artifact: Fake, context: Context) -> dict[str, Any]:
    with (context.folder.parent.parent / "log").open("a") as log:
        log.write(f"{artifact.label}\n")
    time.sleep(0.2)
    return {}


def run_in_process(root: Path) -> None:
    inline.POLL_SECONDS = 0.02
    assert runner(Store(root), slow).run(chain()) == {}


def test_several_runners_share_one_store(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=run_in_process, args=(store.root,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted((store.root / "log").read_text().split()) == ["a", "b", "c", "d"]


def test_the_work_of_another_runner_delays_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While `a` is locked elsewhere, `d` is made; `a` and what needs it follow once the lock is released."""
    a, b, c, d = chain()
    events = Recorder()
    with store.lock(a) as ours:
        assert ours

        def release(seconds: float) -> None:
            assert store.is_done(d)
            store.lock_path(a).unlink(missing_ok=True)

        monkeypatch.setattr(inline.time, "sleep", release)
        assert runner(store, write_file, events).run((a, b, c, d)) == {}
    assert events.labels("Finished") == ["d", "a", "b", "c"]
    assert events.labels("Waiting") == ["a"]
