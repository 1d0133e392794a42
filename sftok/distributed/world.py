"""The place of a process among those that train one model, and the default without others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from sftok.config import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class WorldBroken(RuntimeError):
    """The other processes can no longer be reached: one has ended or does not answer."""


@dataclass(frozen=True)
class World:
    """A single process; `ProcessGroup` is its counterpart for several.

    With several processes, every exchange raises `WorldBroken` once another process is gone, and all later
    ones fail immediately.
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
        """Whether an exchange failed, so that no further one can succeed."""
        return False

    def share_of(self, count: int) -> int:
        """Return how many of a batch's `count` images belong to this process.

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
        """Return this process's part, along `dim`, of a tensor for the whole batch."""
        length = self.share_of(whole.shape[dim])
        return whole.narrow(dim, self.rank * length, length)

    def gather(self, part: Tensor) -> Tensor:
        """Gather the parts `[n, ...]` of all processes in rank order: `[size * n, ...]`, without gradient."""
        return part

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of `value` over the processes.

        The gradient is that of this process's value; averaging the gradients turns it into that of the mean.
        """
        return value

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes; all must pass the same tensors in one order."""

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process; a barrier."""
        return flag

    def announce(self, message: str | None = None) -> str | None:
        """Return the first process's `message`; the others wait for it, however long that takes."""
        return message

    def meet(self, timeout: timedelta | None = None) -> None:
        """Wait until all processes have reached this point.

        Raises:
            WorldBroken: the others did not reach it within `timeout` (None: wait indefinitely).
        """


SINGLE = World()
"""A process without others."""
