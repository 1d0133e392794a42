"""A process on its own is a world, and a launcher that says too little is told so."""

from __future__ import annotations

import pytest
import torch

from sftok.config import ConfigError
from sftok.data.base import MemoryImageSet
from sftok.data.batches import training_batches
from sftok.distributed import SINGLE, World, joined


def test_alone_everything_is_what_it_is() -> None:
    value = torch.rand(4, 2, requires_grad=True)
    assert SINGLE.gather(value) is value
    assert SINGLE.mean(value) is value
    assert torch.equal(SINGLE.share(value), value)
    assert SINGLE.any(True)
    assert not SINGLE.any(False)
    assert SINGLE.announce("teacher") == "teacher"


def test_shares_are_parts_in_order() -> None:
    whole = torch.arange(12).view(2, 6)
    shares = [World(rank=rank, size=3).share(whole, dim=1) for rank in range(3)]
    assert torch.equal(torch.cat(shares, dim=1), whole)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    pixels = torch.zeros(20, 3, 2, 2, dtype=torch.uint8)
    image_set = MemoryImageSet("black", ("black",), pixels, torch.zeros(20, dtype=torch.long))
    with pytest.raises(ConfigError, match="a batch of 8 images cannot be shared evenly by 3 processes"):
        training_batches(image_set, 8, seed=0, world=World(rank=0, size=3))


def test_the_shares_of_a_batch_are_the_batch() -> None:
    pixels = torch.randint(256, (20, 3, 2, 2), dtype=torch.uint8)
    image_set = MemoryImageSet("noise", ("noise",), pixels, torch.arange(20))
    whole = training_batches(image_set, 8, seed=0, start_step=1)
    parts = [
        training_batches(image_set, 8, seed=0, start_step=1, world=World(rank=rank, size=2))
        for rank in range(2)
    ]
    for _ in range(3):
        expected, left, right = next(whole), next(parts[0]), next(parts[1])
        assert torch.equal(torch.cat([left.images, right.images]), expected.images)
        assert torch.equal(torch.cat([left.indices, right.indices]), expected.indices)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_without_others_there_is_nothing_to_join(environment: dict[str, str]) -> None:
    with joined("cpu", environment) as world:
        assert world is SINGLE


def test_an_incomplete_environment_is_named() -> None:
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    with pytest.raises(ConfigError, match="WORLD_SIZE is 2, but RANK is not set"), joined("cpu", environment):
        pass
