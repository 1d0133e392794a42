"""A dry run names everything, and stays readable with a hundred seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.commands.details import details, numbers
from experiments.paper import figure8
from experiments.planning.costs import estimate
from experiments.planning.plan import plan
from experiments.profiles import PROFILES
from experiments.specs import Experiment
from experiments.specs.registry import Registry
from experiments.store import Store

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}

# The profile's own times follow the machine that they were measured on, and its length what is affordable.
PROFILE = PROFILES["cpu"].model_copy(
    update={
        "seconds_per_step": {**PROFILES["cpu"].seconds_per_step, "warm-up": 0.05},
        "overlay": {**PROFILES["cpu"].overlay, "stage1.steps": 800},
    }
)


def printed(folder: Path, seeds: tuple[int, ...], experiment: Experiment = figure8.EXPERIMENT) -> list[str]:
    planned = plan(experiment, PROFILE, seeds, {}, DATA)
    store = Store(folder)
    return details(planned, store, estimate(planned.artifacts, store, PROFILE.seconds_per_step)).splitlines()


def test_a_few_seeds_are_listed_in_full(tmp_path: Path) -> None:
    one, two = printed(tmp_path, (0,)), printed(tmp_path, (0, 1))
    assert set(one) <= {line.replace("shared by 4", "shared by 2") for line in two}
    assert any("warm-up, seed 1: 40 s" in line for line in two)


def test_many_seeds_share_lines_and_every_artifact_is_counted(tmp_path: Path) -> None:
    lines = printed(tmp_path, tuple(range(101)))
    assert len(lines) < 16
    (warm_up,) = [line for line in lines if line.startswith("  stage  warm-up, seeds")]
    assert warm_up == "  stage  warm-up, seeds 0 to 100: 101 artifacts, 67 min"
    assert [line for line in lines if line.startswith("  teacher-")], "what has no seed keeps its name"
    counted = sum(int(line.split(" artifacts")[0].split()[-1]) for line in lines if " artifacts" in line)
    whole = plan(figure8.EXPERIMENT, PROFILE, tuple(range(101)), {}, DATA)
    assert counted + sum("-" in line.split()[0] for line in lines[:-1]) == len(whole.artifacts)
    assert "--seeds 0, lists every artifact of seed 0" in lines[-1]


@pytest.mark.parametrize("name", ["table2", "appendix_c"])
def test_whatever_a_seed_has_of_its_own_shares_a_line(tmp_path: Path, name: str) -> None:
    experiment = Registry(("experiments.paper",)).experiment(name)
    five, six = (printed(tmp_path, tuple(range(number)), experiment) for number in (5, 6))
    assert len(five) == len(six)


@pytest.mark.parametrize(
    ("values", "text"), [((4,), "4"), ((0, 1, 2), "0 to 2"), ((7, 0, 1, 3), "0 to 1, 3, 7")]
)
def test_numbers(values: tuple[int, ...], text: str) -> None:
    assert numbers(values) == text
