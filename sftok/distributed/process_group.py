"""A world of several processes, over `torch.distributed`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from sftok.distributed.world import World, WorldBroken

EXCHANGE_TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others within a computation."""

_CONTROL_TIMEOUT = timedelta(days=30)
"""How long the others wait to be told what to do next, while the first process works alone."""

_BUCKET = 2**24
"""How many numbers travel together: many small messages would take longer."""


@dataclass(frozen=True, kw_only=True)
class ProcessGroup(World):
    """This process among others; see `World` for what the methods do."""

    control: Any
    """The process group of `announce` and `meet`, which may wait for long."""
    errors: list[str] = field(default_factory=list, compare=False)
    """What broke the connection, once it is broken."""

    @property
    def broken(self) -> bool:
        """See `World`."""
        return bool(self.errors)

    @contextlib.contextmanager
    def exchange(self) -> Iterator[None]:
        """Guard an exchange: after one has failed no other is tried, as it could wait in vain.

        Raises:
            WorldBroken: this exchange or an earlier one failed.
        """
        if self.errors:
            raise WorldBroken(self.errors[0])
        try:
            yield
        except RuntimeError as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            self.errors.append(f"lost the other processes ({reason})")
            raise WorldBroken(self.errors[0]) from error

    @torch.no_grad()
    def gather(self, part: Tensor) -> Tensor:
        """See `World`."""
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.size)]
        with self.exchange():
            dist.all_gather(parts, part.contiguous())
        return torch.cat(parts)

    def mean(self, value: Tensor) -> Tensor:
        """See `World`."""
        averaged: Tensor = _Mean.apply(value, self)
        return averaged

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """See `World`."""
        pending = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with self.exchange():
                pending.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in pending:
            with self.exchange():
                work.wait()
            parts = (flat / self.size).split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def any(self, flag: bool) -> bool:
        """See `World`."""
        votes = torch.tensor(float(flag))
        with self.exchange():
            dist.all_reduce(votes, dist.ReduceOp.MAX)
        return bool(votes)

    def announce(self, message: str | None = None) -> str | None:
        """See `World`."""
        holder = [message]
        with self.exchange():
            dist.broadcast_object_list(holder, src=0, group=self.control, device=torch.device("cpu"))
        return holder[0]

    def meet(self, timeout: timedelta | None = None) -> None:
        """See `World`.

        `dist.barrier` would keep a thread that the process cannot end without after a timeout, and
        `dist.monitored_barrier` has a timeout in the first process only.
        """
        others = range(1, self.size) if self.is_first else (0,)
        arrive, leave = (dist.irecv, dist.isend) if self.is_first else (dist.isend, dist.irecv)
        with self.exchange():
            for step in (arrive, leave):
                pending = [step(torch.zeros(1), other, self.control) for other in others]
                for work in filter(None, pending):
                    work.wait(timeout or _CONTROL_TIMEOUT)


@contextlib.contextmanager
def connected(device: str, size: int, local_rank: int) -> Iterator[ProcessGroup]:
    """This process among the `size` of its launcher, whose environment torch reads; see `joined`."""
    # Tensors on GPUs travel by NCCL, everything else by gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=EXCHANGE_TIMEOUT)
    world = ProcessGroup(
        rank=dist.get_rank(),
        size=size,
        local_rank=local_rank,
        control=dist.new_group(backend="gloo", timeout=_CONTROL_TIMEOUT),
    )
    try:
        yield world
    finally:
        # NCCL could wait for lost processes; the end of this one frees what it holds as well.
        if device != "cuda" or not world.broken:
            dist.destroy_process_group()


class _Mean(torch.autograd.Function):
    """A mean over processes whose gradient is the identity; see `World.mean`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, world: ProcessGroup) -> Tensor:
        total = value.detach().clone()
        with world.exchange():
            dist.all_reduce(total)
        return total / world.size

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbors of one dtype, up to `_BUCKET` numbers together."""
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
