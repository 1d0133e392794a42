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
"""How long the others wait for the next instruction while the first process works alone."""

_BUCKET = 2**24
"""Maximum number of values per message; many small messages would take longer."""


@dataclass(frozen=True, kw_only=True)
class ProcessGroup(World):
    """One process among several; see `World` for the methods."""

    control: Any
    """The process group of `announce` and `meet`, which may wait for long."""
    errors: list[str] = field(default_factory=list, compare=False)
    """The errors that broke the connection, if any."""

    @property
    def broken(self) -> bool:
        """See `World`."""
        return bool(self.errors)

    @contextlib.contextmanager
    def exchange(self) -> Iterator[None]:
        """Guard an exchange: after a failure no other exchange is attempted, as it could wait forever.

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

        `dist.barrier` would keep a thread alive that prevents the process from ending after a timeout, and
        `dist.monitored_barrier` applies a timeout in the first process only.
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
    """Yield the group of `size` processes; torch reads the launcher's environment, see `joined`."""
    # Tensors on GPUs are exchanged over NCCL, everything else over gloo.
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
        # NCCL could wait for lost processes; ending this process releases its resources anyway.
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
    """Group neighboring tensors of one dtype, up to `_BUCKET` values together."""
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
