"""How the processes of a job find each other."""

from __future__ import annotations

import pytest

from experiments.executors.processes import announce, first_node


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("vm", "vm"),
        ("gpu[007-009,12],cpu1", "gpu007"),
        ("a1,a2", "a1"),
        ("node[3,5]", "node3"),
        ("rack1-n[01-02]-ib", "rack1-n01-ib"),
    ],
)
def test_the_master_is_the_first_node(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_a_process_finds_its_place() -> None:
    environment = {
        **{"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"},
        **{"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_JOB_ID": "40005"},
    }
    process = announce(environment)
    assert (process.rank, process.world, process.local_rank) == (3, 4, 1)
    assert {name: environment[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")} == {
        **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "n1"}
    }
    assert announce({}).world == 1
