"""The further processes of a run that was started several times over: they help, and leave no trace.

The first process plans, claims, writes and reports as it does alone. Before it makes something that is made
together it announces it, and the others come to do their share.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from experiments.artifacts import Artifact
from experiments.running.runner import FindMaker
from experiments.running.stop import Stop
from experiments.store import Store
from experiments.tasks import find_maker
from experiments.tasks.base import Data, Task
from sftok.distributed import World
from sftok.training.interruption import TrainingInterrupted

log = logging.getLogger(__name__)


class SilentMonitor:
    """Writes nothing; only asks whether to stop, so that a signal to any process stops all."""

    def __init__(self, stop: Stop):
        self._stop = stop

    def progress(self, done: int, total: int) -> None:
        """Left to the first process."""

    def record(self, values: dict[str, Any]) -> None:
        """Left to the first process."""

    def resumed(self, step: int) -> None:
        """Left to the first process."""

    def should_stop(self) -> bool:
        """True once this process was asked to stop."""
        return self._stop.requested()


def follow(
    artifacts: Iterable[Artifact],
    store: Store,
    data: Data,
    stop: Stop,
    world: World,
    find: FindMaker = find_maker,
) -> None:
    """Do this process's share of whatever the first one announces, until nothing is left.

    What fails here fails in the first process too, in time because nobody answers it; it keeps the record.
    """
    by_name = {artifact.name: artifact for artifact in artifacts}
    while (name := world.announce()) is not None:
        artifact = by_name[name]
        task = Task(
            artifact=artifact,
            folder=store.work_folder(artifact),
            inputs={role: store.folder(upstream) for role, upstream in artifact.inputs.items()},
            load_data=data.load,
            cache=store.root / "cache",
            monitor=SilentMonitor(stop),
            world=world,
        )
        try:
            find(artifact.kind)(task)
        except TrainingInterrupted:
            log.info("process %d stops with the others", world.rank)
        except Exception:
            log.exception("process %d: its share of %s failed", world.rank, artifact.label)
        finally:
            world.meet()


@contextlib.contextmanager
def leading(world: World) -> Iterator[None]:
    """Within, the first process leads the others; at the end, however it comes, it lets them go."""
    try:
        yield
    finally:
        world.announce(None)
