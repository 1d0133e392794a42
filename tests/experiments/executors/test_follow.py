"""The further processes of a run do what the first one announces, and survive what fails in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_artifacts import Fake
from making import artifact

from experiments.artifacts.context import Context
from experiments.executors.inline import Runner, leading
from experiments.executors.stop import Stop
from experiments.store import Store
from sftok.distributed import World


@dataclass(frozen=True)
class Script(World):
    """A world whose first process announces what the test says."""

    messages: Iterator[str | None] = field(default_factory=lambda: iter(()))
    met: list[None] = field(default_factory=list)

    def announce(self, message: str | None = None) -> str | None:
        return next(self.messages)

    def meet(self, timeout: object = None) -> None:
        self.met.append(None)


@pytest.fixture(autouse=True)
def fakes_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "make", Fake.make)


def stage(steps: int) -> Fake:
    return artifact("teacher", label="teacher", steps=steps)


def follow(store: Store, make: Any, *artifacts: Fake, stop: Stop | None = None) -> Script:
    """Let the second of two processes follow a first one that announces `artifacts`."""
    world = Script(rank=1, size=2, messages=iter([*(each.name for each in artifacts), None]))

    def no_data(split: str) -> Any:
        raise AssertionError("nothing here reads images")

    Fake.make = make  # type: ignore[method-assign]
    Runner(store, no_data, stop=stop, world=world).follow(artifacts)
    return world


def test_it_makes_what_is_announced_and_writes_nothing_but_its_failure(store: Store) -> None:
    made: list[tuple[int, World]] = []

    def make(artifact: Fake, context: Context) -> dict[str, Any]:
        made.append((artifact.steps, context.world))
        context.monitor.progress(1, 2)
        context.monitor.record({"step": 1})
        context.monitor.resumed(0)
        if artifact.steps == 2:
            raise ValueError("no such weights")
        return {}

    broken, third = stage(2), stage(3)
    world = follow(store, make, broken, third)
    assert made == [(2, world), (3, world)]
    assert len(world.met) == 2
    (written,) = (path for path in store.root.rglob("*") if path.is_file())
    assert written.name == f"{broken.name}.json"
    assert (store.failure(broken) or {})["reason"] == "process 1 of 2: ValueError: no such weights"


def test_the_first_reason_stands(store: Store) -> None:
    def fail(artifact: Fake, context: Context) -> dict[str, Any]:
        raise ValueError("no such weights")

    only = stage(1)
    store.record_failure(only, {"reason": "OSError: of the first process"})
    follow(store, fail, only)
    assert store.failure(only) == {"reason": "OSError: of the first process"}


def test_a_signal_reaches_the_training(tmp_path: Path) -> None:
    asked = []
    stop = Stop()
    stop.request()
    follow(
        Store(tmp_path),
        lambda artifact, context: asked.append(context.monitor.should_stop()) or {},
        stage(1),
        stop=stop,
    )
    assert asked == [True]


def test_the_first_process_dismisses_the_others_whatever_happens() -> None:
    announced = []

    class Leader(World):
        def announce(self, message: str | None = None) -> str | None:
            announced.append(message)
            return message

    with pytest.raises(ValueError, match="broken"), leading(Leader(size=2)):
        raise ValueError("broken")
    assert announced == [None]
