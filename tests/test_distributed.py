"""A process on its own is a world, and a launcher that says too little is told so."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import image_set

from sftok.config import ConfigError
from sftok.data.batches import training_batches
from sftok.distributed import SINGLE, World, joined


def test_alone_everything_is_what_it_is() -> None:
    value = torch.rand(4, 2, requires_grad=True)
    assert SINGLE.gather(value) is SINGLE.mean(value) is value
    assert torch.equal(SINGLE.share(value), value)
    assert (SINGLE.any(True), SINGLE.any(False)) == (True, False)
    assert SINGLE.announce("teacher") == "teacher"


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 1))
def test_shares_are_parts_in_order(size: int, each: int, dim: int) -> None:
    whole = torch.arange((size * each) ** 2).view(size * each, -1)
    shares = [World(rank=rank, size=size).share(whole, dim=dim) for rank in range(size)]
    assert torch.equal(torch.cat(shares, dim=dim), whole)


def test_a_batch_that_cannot_be_shared_evenly_is_refused() -> None:
    with pytest.raises(ConfigError, match="a batch of 8 images cannot be shared evenly by 3 processes"):
        training_batches(image_set(20, 2), 8, seed=0, world=World(rank=0, size=3))


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1", "RANK": "0"}])
def test_without_others_there_is_nothing_to_join(environment: dict[str, str]) -> None:
    with joined("cpu", environment) as world:
        assert world is SINGLE


def test_an_incomplete_environment_is_named() -> None:
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    with pytest.raises(ConfigError, match="WORLD_SIZE is 2, but RANK is not set"), joined("cpu", environment):
        pass
