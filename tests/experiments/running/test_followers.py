"""The further processes of a run do what the first announces, and survive what fails in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.artifacts import Artifact, artifact
from experiments.running.datasets import DataSets
from experiments.running.followers import follow, leading
from experiments.running.stop import Stop
from experiments.store import Store
from experiments.tasks.base import Task
from sftok.data import DataConfig
from sftok.distributed import World


class Script(World):
    """A world whose first process says what the test tells it to."""

    messages: Iterator[str | None]
    met: int

    def announce(self, message: str | None = None) -> str | None:
        return next(self.messages)

    def meet(self, patience: object = None) -> None:
        object.__setattr__(self, "met", self.met + 1)


def script(*messages: str | None) -> Script:
    world = Script(rank=1, size=2)
    object.__setattr__(world, "messages", iter(messages))
    object.__setattr__(world, "met", 0)
    return world


def node(steps: int) -> Artifact:
    return artifact("teacher", config={"steps": steps}, label="teacher")


def test_it_makes_what_is_announced_with_no_trace_but_of_a_failure(tmp_path: Path) -> None:
    made: list[tuple[int, World]] = []

    def maker(task: Task) -> dict[str, Any]:
        made.append((task.config["steps"], task.world))
        task.monitor.progress(1, 2)
        task.monitor.record({"step": 1})
        if task.config["steps"] == 2:
            raise ValueError("no such weights")
        return {}

    first, broken, third = node(1), node(2), node(3)
    world, stop = script(broken.name, third.name, None), Stop()
    data = DataSets(DataConfig(source="fashion-mnist"))
    store = Store(tmp_path)
    store.prepare()
    follow([first, broken, third], store, data, stop, world, lambda kind: maker)
    assert made == [(2, world), (3, world)]
    assert world.met == 2
    (trace,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert (store.failure(broken) or {})["reason"] == "process 1 of 2: ValueError: no such weights"
    assert trace.name == f"{broken.name}.json"


def test_the_first_reason_stands(tmp_path: Path) -> None:
    def maker(task: Task) -> dict[str, Any]:
        raise ValueError("no such weights")

    only, store = node(1), Store(tmp_path)
    store.prepare()
    store.record_failure(only, {"reason": "OSError: of the first process"})
    data = DataSets(DataConfig(source="fashion-mnist"))
    follow([only], store, data, Stop(), script(only.name, None), lambda kind: maker)
    assert store.failure(only) == {"reason": "OSError: of the first process"}


def test_a_signal_reaches_the_training(tmp_path: Path) -> None:
    asked = []

    def maker(task: Task) -> dict[str, Any]:
        asked.append(task.monitor.should_stop())
        return {}

    stop = Stop()
    stop.request()
    only = node(1)
    data = DataSets(DataConfig(source="fashion-mnist"))
    follow([only], Store(tmp_path), data, stop, script(only.name, None), lambda kind: maker)
    assert asked == [True]


def test_the_first_process_lets_the_others_go_whatever_happens() -> None:
    said = []

    class Leader(World):
        def announce(self, message: str | None = None) -> str | None:
            said.append(message)
            return message

    with pytest.raises(ValueError, match="broken"), leading(Leader(size=2)):
        raise ValueError("broken")
    assert said == [None]
