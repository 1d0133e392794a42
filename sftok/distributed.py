"""Data parallel training: what one of several processes must know of the others.

Every process holds the whole model and a share of each batch: rows `rank * n` to `(rank + 1) * n` of the
batch that one process alone would have. Whatever is a mean, a draw or an assignment over the batch is one
over the whole batch, and gradients are averaged, so the number of processes decides the speed and no number
but by rounding. A `World` is passed to whoever needs it; the default everywhere is `SINGLE`.

Any launcher will do that sets what `torch.distributed` reads: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and
MASTER_PORT, as `torchrun` does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sftok.config import ConfigError

SILENCE = timedelta(minutes=30)
"""How long a process waits for the others within a computation before it gives them up."""

_PATIENCE = timedelta(days=30)
"""How long the others wait to be told what to do next, while the first process works alone."""

_BUCKET = 2**24
"""Numbers that travel together: many small messages would take longer."""


@dataclass(frozen=True)
class World:
    """This process's place among those that train one model."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Its number on its machine, and so of its GPU."""
    control: Any = None
    """The process group of `announce` and `meet`, which may be silent for long; None without others."""

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files and talks."""
        return self.rank == 0

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

    @torch.no_grad()
    def gather(self, part: Tensor) -> Tensor:
        """The parts `[n, ...]` of all processes, in their order, as `[size * n, ...]`; without gradient."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over the processes.

        Its gradient is that of the own value: once gradients are averaged, it is that of the mean.
        """
        if self.size == 1:
            return value
        averaged: Tensor = _Mean.apply(value, self.size)
        return averaged

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each of `tensors` by its mean over the processes; all must pass the same, in one order."""
        if self.size == 1:
            return
        under_way = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            under_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in under_way:
            work.wait()
            parts = (flat / self.size).split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all learn it, and none goes on before all have spoken."""
        if self.size == 1:
            return flag
        votes = torch.tensor(float(flag))
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes)

    def announce(self, message: str | None = None) -> str | None:
        """What the first process passes; the others wait for it, however long that takes."""
        if self.size == 1:
            return message
        holder = [message]
        dist.broadcast_object_list(holder, src=0, group=self.control, device=torch.device("cpu"))
        return holder[0]

    def meet(self) -> None:
        """Wait until all are here, however long that takes: what each did before is over."""
        if self.size > 1:
            dist.barrier(group=self.control)


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
    # Numbers on GPUs travel by NCCL, whatever else the processes agree on by gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=SILENCE)
    try:
        yield World(
            rank=dist.get_rank(),
            size=size,
            local_rank=int(environment.get("LOCAL_RANK", environment["RANK"])),
            control=dist.new_group(backend="gloo", timeout=_PATIENCE),
        )
    finally:
        dist.destroy_process_group()


class _Mean(torch.autograd.Function):
    """A mean over processes whose gradient is the identity: see `World.mean`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, size: int) -> Tensor:
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / size

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type, up to `_BUCKET` numbers together."""
    bucket: list[Tensor] = []
    length = 0
    for tensor in tensors:
        if bucket and (length + tensor.numel() > _BUCKET or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, length = [], 0
        bucket.append(tensor)
        length += tensor.numel()
    if bucket:
        yield bucket
