"""Two processes make artifacts together: whatever happens to one, its reason is kept and none waits long."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_artifacts import Fake
from making import artifact
from together_worker import artifacts, no_data

from experiments.artifacts.context import Context
from experiments.executors.inline import ProcessesLostError, Runner, leading
from experiments.executors.stop import Interrupted
from experiments.store import Store, StoreError
from sftok.distributed import World, WorldBroken
from sftok.training.interruption import TrainingInterrupted

WORKER = Path(__file__).with_name("together_worker.py")
LONG_SECONDS = 60.0
LOST = "the processes lost contact, so the run ends"


@dataclass(frozen=True)
class Ended:
    codes: list[int]
    """Exit codes by process."""
    said: list[str]
    """What each process printed to stderr."""


def start(store: Store, what: str) -> Ended:
    """Run the worker in two processes, as a launcher would that never ends them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    processes = []
    for rank in ("0", "1"):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
        environment = {**os.environ, **place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, str(WORKER), str(store.root), what]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    try:
        said = [process.communicate(timeout=LONG_SECONDS)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return Ended([process.returncode for process in processes], said)


def states(store: Store, what: str) -> dict[str, str | None]:
    """By label: "done", the reason of a failure, or None."""
    return {
        made.label: "done" if store.is_done(made) else (store.failure(made) or {}).get("reason")
        for made in artifacts(what)
    }


def traceback(store: Store, what: str) -> str:
    return str((store.failure(artifacts(what)[0]) or {})["traceback"])


def nothing_but(reason: str | None) -> dict[str, str | None]:
    return {"first": reason, "below": None, "alone": None, "beside": None}


def test_all_goes_well(store: Store) -> None:
    assert start(store, "share").codes == [0, 0]
    assert set(states(store, "share").values()) == {"done"}


def test_the_reason_of_the_other_process_is_the_reason(store: Store) -> None:
    ended = start(store, "second-fails")
    reason = "process 1 of 2: ValueError: image 7 cannot be read"
    assert states(store, "second-fails") == nothing_but(reason)
    assert "in make" in traceback(store, "second-fails")
    assert ended.codes == [1, 1], ended.said
    assert ended.said[0].splitlines()[-1] == f"run: first: {reason}; {LOST}"
    assert "Traceback" not in ended.said[0]
    assert "process 1 of 2: its share of first failed" in ended.said[1]


def test_a_launcher_ends_a_process_that_waits_where_no_python_runs(store: Store) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    what = "second-fails-unheard"
    command = [*launcher, str(WORKER), str(store.root), what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONG_SECONDS)
    assert done.returncode == 1
    assert states(store, what) == nothing_but("process 1 of 2: ValueError: image 7 cannot be read")


def test_the_first_process_keeps_its_own_reason(store: Store) -> None:
    ended = start(store, "first-fails")
    assert states(store, "first-fails") == nothing_but("ValueError: image 7 cannot be read")
    assert "in make" in traceback(store, "first-fails")
    assert ended.codes == [1, 1], ended.said
    last = f"run: first: ValueError: image 7 cannot be read; {LOST}"
    assert [said.splitlines()[-1] for said in ended.said] == [last, last]


def test_a_full_disk_of_the_first_process_is_the_reason_and_not_its_loss(store: Store) -> None:
    ended = start(store, "first-has-no-room")
    reason = states(store, "first-has-no-room")["first"] or ""
    assert reason.startswith(f"first: cannot write to {store.root} (No space left on device)")
    assert ended.codes == [1, 1], ended.said
    assert ended.said[0].splitlines()[-1] == f"run: {reason}"


def test_what_fails_in_all_processes_is_one_failure_and_the_rest_is_made(store: Store) -> None:
    ended = start(store, "all-fail")
    assert ended.codes == [1, 0], ended.said
    found = states(store, "all-fail")
    assert found.pop("first") == (
        "ConfigError: a batch of 3 images cannot be shared evenly by 2 processes; "
        "start a number of processes that divides it"
    )
    assert found == {"below": None, "alone": "done", "beside": "done"}


def test_a_process_that_is_killed_ends_the_run(store: Store) -> None:
    ended = start(store, "second-is-killed")
    reason = states(store, "second-is-killed")["first"] or ""
    assert reason.startswith("WorldBroken: lost the other processes (")
    assert states(store, "second-is-killed") == nothing_but(reason)
    assert ended.codes == [1, -9], ended.said


def test_what_was_not_started_did_not_fail(store: Store) -> None:
    what = "second-is-killed-later"
    ended = start(store, what)
    assert states(store, what) | {"beside": None} == states(store, what)
    assert states(store, what)["first"] == "done"
    assert ended.codes == [1, -9], ended.said
    assert ended.said[0].splitlines()[-1] == f"run: beside: not started; {LOST}"


def test_all_processes_stop_when_asked(store: Store) -> None:
    ended = start(store, "all-stop")
    assert states(store, "all-stop") == nothing_but(None)
    assert ended.codes == [130, 0], ended.said
    assert "run: first: stopped after 3 of 10 steps" in ended.said[0]


class Lost(World):
    """A world of two whose other process is gone when they are to meet."""

    @property
    def broken(self) -> bool:
        return True

    def meet(self, timeout: object = None) -> None:
        raise WorldBroken("lost the other processes")

    def announce(self, message: str | None = None) -> str | None:
        if message is None:
            raise WorldBroken("lost the other processes")
        return message


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (OSError(28, "No space left on device"), StoreError),
        (TrainingInterrupted("stopped after 3 of 10 steps"), Interrupted),
        (ValueError("image 7 cannot be read"), ProcessesLostError),
    ],
)
def test_what_ended_the_run_is_reported_whatever_follows(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, kept: type[Exception]
) -> None:
    def fail(artifact: Fake, context: Context) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(Fake, "make", fail)
    world, made = Lost(size=2), artifact("teacher", config={}, label="only")
    with pytest.raises(kept, match=str(error.args[-1])), leading(world):
        Runner(store, no_data, world=world).make(made)
