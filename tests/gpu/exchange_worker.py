"""One process that exchanges tensors with the others on a device: `exchange_worker.py DEVICE`."""

from __future__ import annotations

import os
import sys

import torch

from sftok.device import open_device
from sftok.distributed.process_group import connected


def main(name: str) -> None:
    size, local_rank = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    device = open_device(name, local_rank=local_rank)  # type: ignore[arg-type]
    with connected(name, size, local_rank) as world:
        own = torch.full((2,), float(world.rank), device=device, requires_grad=True)
        ranks = torch.arange(size, dtype=torch.float32, device=device)
        assert torch.equal(world.gather(own.detach()), ranks.repeat_interleave(2))
        mean = world.mean(own.mean())
        assert mean == ranks.mean()
        mean.backward()
        assert torch.equal(own.grad, torch.full_like(own, 0.5))
        world.average([own.grad.mul_(1 + world.rank)])
        assert torch.equal(own.grad, torch.full_like(own, 0.5 * (1 + ranks.mean().item())))
        assert world.any(world.rank == size - 1)
        assert not world.any(False)
        assert world.announce("go" if world.is_first else None) == "go"
        world.meet()


if __name__ == "__main__":
    main(sys.argv[1])
