"""The further processes of a run that was started several times over: they help, and leave no trace.

The first process plans, claims, writes and reports as it does alone. Before it makes something that is made
together it announces it, and the others come to do their share. One whose share fails records why, as the
first may never come to it: on GPUs it waits where no Python runs. Unless all fail alike it leaves then, and
the launcher ends the group.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

from experiments.artifacts import Artifact
from experiments.running.runner import ALIKE, FindMaker, Parted, note_failure
from experiments.running.stop import Stop
from experiments.store import Store
from experiments.tasks import find_maker
from experiments.tasks.base import Data, Task
from sftok.distributed import World, WorldBroken
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

    A failure that all processes have in common is survived; the first one's record of it is the last.

    Raises:
        WorldBroken: the first process is gone.
        Parted: this process failed alone, or another one did.
    """
    who = f"process {world.rank} of {world.size}"
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
            world.meet()
        except TrainingInterrupted:
            log.info("%s stops with the others", who)
            world.meet()
        except Exception as error:
            reason = note_failure(artifact, store, error, first=True, who=f"{who}: ")
            if not world.broken:
                log.exception("%s: its share of %s failed", who, artifact.label)
            with contextlib.suppress(WorldBroken):
                world.meet(ALIKE)
            if world.broken:
                raise Parted(artifact, reason) from None


@contextlib.contextmanager
def leading(world: World) -> Iterator[None]:
    """Within, the first process leads the others; at the end, however it comes, it lets them go."""
    try:
        yield
    finally:
        # What ended it is not to be hidden by what became of the others.
        with contextlib.suppress(WorldBroken):
            world.announce(None)
