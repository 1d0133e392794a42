"""Several processes a job: each finds its place in its environment, as torch.distributed reads it."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass

FIRST_PORT, PORTS = 20_000, 20_000
"""The master's port is taken from here by the job's number: jobs that share a node do not meet."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of the processes of a job."""

    rank: int
    world: int
    local_rank: int
    """Its number on its node, and so of its GPU."""


def announce(environment: MutableMapping[str, str]) -> Process:
    """Set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT from what srun says.

    Without srun there is one process, and nothing is set.
    """
    if "SLURM_PROCID" not in environment:
        return Process(rank=0, world=1, local_rank=0)
    process = Process(
        rank=int(environment["SLURM_PROCID"]),
        world=int(environment["SLURM_NTASKS"]),
        local_rank=int(environment["SLURM_LOCALID"]),
    )
    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", "localhost"))
    environment.update(
        RANK=str(process.rank),
        WORLD_SIZE=str(process.world),
        LOCAL_RANK=str(process.local_rank),
        MASTER_ADDR=first_node(nodes),
        MASTER_PORT=str(FIRST_PORT + int(environment["SLURM_JOB_ID"]) % PORTS),
    )
    return process


def first_node(nodes: str) -> str:
    """The first host of Slurm's short form: `gpu007` of `gpu[007-009,12],cpu1`."""
    match = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\])?([^,\[]*)", nodes)
    if match is None:
        return nodes
    prefix, number, suffix = match.groups()
    return f"{prefix}{number or ''}{suffix}"
