"""Data parallel training: what one of several processes must know of the others.

Every process holds the whole model and a share of each batch: rows `rank * n` to `(rank + 1) * n` of the
batch that one process alone would have. Whatever is a mean, a draw or an assignment over the batch is one
over the whole batch, and gradients are averaged, so the number of processes decides the speed and no number
but by rounding (and by the generator's dropout, which each draws for its own share). A `World` is passed to
whoever needs it; the default everywhere is `SINGLE`.

Any launcher will do that sets what `torch.distributed` reads: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
MASTER_PORT, as `torchrun` does. The exchange itself is in `sftok.process_group`: without others no process
need wait for torch before it knows that there is something to compute.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sftok.config import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class WorldBroken(RuntimeError):
    """The other processes cannot be reached any more: one ended, or does not answer."""


@dataclass(frozen=True)
class World:
    """This process's place among those that train one model; what it is without others.

    `ProcessGroup` is the one with others. There, whatever is exchanged raises `WorldBroken` where another
    process is gone, and from then on at once.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number on its machine, and so of its GPU."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and talks."""
        return self.rank == 0

    @property
    def broken(self) -> bool:
        """Whether an exchange failed: nothing more can be done together."""
        return False

    def share_of(self, count: int) -> int:
        """How many of `count` images of a batch are this process's.

        Raises:
            ConfigError: the processes cannot share them evenly.
        """
        if count % self.size:
            raise ConfigError(
                f"a batch of {count} images cannot be shared evenly by {self.size} processes; "
                "start a number of processes that divides it"
            )
        return count // self.size

    def share(self, whole: Tensor, dim: int = 0) -> Tensor:
        """This process's part of what is for the whole batch, along `dim`."""
        length = self.share_of(whole.shape[dim])
        return whole.narrow(dim, self.rank * length, length)

    def gather(self, part: Tensor) -> Tensor:
        """The parts `[n, ...]` of all processes, in their order, as `[size * n, ...]`; without gradient."""
        return part

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over the processes.

        Its gradient is that of the own value: once gradients are averaged, it is that of the mean.
        """
        return value

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each of `tensors` by its mean over the processes; all must pass the same, in one order."""

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all learn it, and none goes on before all have spoken."""
        return flag

    def announce(self, message: str | None = None) -> str | None:
        """What the first process passes; the others wait for it, however long that takes."""
        return message

    def meet(self, patience: timedelta | None = None) -> None:
        """Wait until all are here: what each did before is over.

        Raises:
            WorldBroken: not all came within `patience` (None: however long that takes).
        """


SINGLE = World()
"""A process on its own."""


@contextlib.contextmanager
def joined(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """The world that the launcher's environment describes; `SINGLE` if it names no other process.

    Args:
        device: "cpu" or "cuda": where the tensors are that the processes will exchange.
        environment: RANK, WORLD_SIZE, LOCAL_RANK; the address is read by torch itself.

    Raises:
        ConfigError: WORLD_SIZE is there and RANK or the master's address is not.
    """
    size = int(environment.get("WORLD_SIZE", 1))
    if size == 1:
        yield SINGLE
        return
    if missing := sorted({"RANK", "MASTER_ADDR", "MASTER_PORT"} - set(environment)):
        raise ConfigError(
            f"WORLD_SIZE is {size}, but {missing[0]} is not set; start the processes with torchrun, or set it"
        )
    from sftok.process_group import connected

    with connected(device, size, int(environment.get("LOCAL_RANK", environment["RANK"]))) as world:
        yield world
