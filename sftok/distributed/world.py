"""The place of a process among those that train one model, and what it is without others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sftok.config import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class WorldBroken(RuntimeError):
    """The other processes cannot be reached any more: one ended or does not answer."""


@dataclass(frozen=True)
class World:
    """A single process; `ProcessGroup` is one among others.

    With others, every exchange raises `WorldBroken` once another process is gone, and from then on at once.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its rank on its machine, which is also the number of its GPU."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    @property
    def broken(self) -> bool:
        """Whether an exchange failed, so that no other one can succeed."""
        return False

    def share_of(self, count: int) -> int:
        """How many of a batch's `count` images are this process's.

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
        """This process's part, along `dim`, of a tensor for the whole batch."""
        length = self.share_of(whole.shape[dim])
        return whole.narrow(dim, self.rank * length, length)

    def gather(self, part: Tensor) -> Tensor:
        """The parts `[n, ...]` of all processes, in rank order, as `[size * n, ...]`; without gradient."""
        return part

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over the processes.

        Its gradient is that of this process's value: averaging the gradients makes it that of the mean.
        """
        return value

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, which all pass the same ones in one order."""

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; a barrier."""
        return flag

    def announce(self, message: str | None = None) -> str | None:
        """The first process's `message`; the others wait for it, however long that takes."""
        return message

    def meet(self, timeout: timedelta | None = None) -> None:
        """Wait until all processes have reached this point.

        Raises:
            WorldBroken: they did not within `timeout` (None: wait however long it takes).
        """


SINGLE = World()
"""A process without others."""
