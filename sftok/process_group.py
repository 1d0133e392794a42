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

from sftok.distributed import World, WorldBroken

SILENCE = timedelta(minutes=30)
"""How long a process waits for the others within a computation before it gives them up."""

_PATIENCE = timedelta(days=30)
"""How long the others wait to be told what to do next, while the first process works alone."""

_BUCKET = 2**24
"""Numbers that travel together: many small messages would take longer."""


@dataclass(frozen=True, kw_only=True)
class ProcessGroup(World):
    """This process's place among others that it can talk to."""

    control: Any
    """The process group of `announce` and `meet`, which may be silent for long."""
    lost: list[str] = field(default_factory=list, compare=False)
    """What broke the connection, once it is broken."""

    @property
    def broken(self) -> bool:
        """See `World`."""
        return bool(self.lost)

    @contextlib.contextmanager
    def exchange(self) -> Iterator[None]:
        """Within, something is exchanged; no later exchange is tried if it fails, for it could wait in vain.

        Raises:
            WorldBroken: it failed, or an earlier one did.
        """
        if self.lost:
            raise WorldBroken(self.lost[0])
        try:
            yield
        except RuntimeError as error:
            why = str(error).partition("\n")[0].partition(". ")[0]
            self.lost.append(f"lost the other processes ({why})")
            raise WorldBroken(self.lost[0]) from error

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
        under_way = []
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with self.exchange():
                under_way.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in under_way:
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

    def meet(self, patience: timedelta | None = None) -> None:
        """See `World`."""
        others = range(1, self.size) if self.is_first else (0,)
        arrive, leave = (dist.irecv, dist.isend) if self.is_first else (dist.isend, dist.irecv)
        # A barrier that is given up would go on, on a thread that this process could not end without.
        with self.exchange():
            for step in (arrive, leave):
                under_way = [step(torch.zeros(1), other, self.control) for other in others]
                for work in filter(None, under_way):
                    work.wait(patience or _PATIENCE)


@contextlib.contextmanager
def connected(device: str, size: int, local_rank: int) -> Iterator[ProcessGroup]:
    """This process among the `size` of its launcher, whose environment torch reads; see `joined`."""
    # Numbers on GPUs travel by NCCL, whatever else the processes agree on by gloo.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=SILENCE)
    world = ProcessGroup(
        rank=dist.get_rank(),
        size=size,
        local_rank=local_rank,
        control=dist.new_group(backend="gloo", timeout=_PATIENCE),
    )
    try:
        yield world
    finally:
        # NCCL could wait for those that are lost; the end of this process frees what it holds as well.
        if device != "cuda" or not world.broken:
            dist.destroy_process_group()


class _Mean(torch.autograd.Function):
    """A mean over processes whose gradient is the identity: see `World.mean`."""

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
