"""Joins the processes that a launcher has started.

Any launcher works if it sets the variables that `torch.distributed` reads, as `torchrun` does: RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from sftok.config import ConfigError
from sftok.distributed.world import SINGLE, World


@contextlib.contextmanager
def joined(device: str, environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Yield the world that the launcher's environment describes; `SINGLE` if it describes no other process.

    Args:
        device: "cpu" or "cuda", where the tensors are that the processes will exchange.
        environment: RANK, WORLD_SIZE, LOCAL_RANK; torch itself reads the address.

    Raises:
        ConfigError: WORLD_SIZE is set but RANK or the master's address is not.
    """
    size = int(environment.get("WORLD_SIZE", 1))
    if size == 1:
        yield SINGLE
        return
    if missing := sorted({"RANK", "MASTER_ADDR", "MASTER_PORT"} - set(environment)):
        raise ConfigError(
            f"WORLD_SIZE is {size}, but {missing[0]} is not set; start the processes with torchrun, or set it"
        )
    # Imported here, so that a single process does not load torch before it knows that there is work to do.
    from sftok.distributed.process_group import connected

    with connected(device, size, int(environment.get("LOCAL_RANK", environment["RANK"]))) as world:
        yield world
