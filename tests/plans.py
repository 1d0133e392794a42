"""Plans of the tests: any spec, on data that have fingerprints alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.planning.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.specs import Experiment
from experiments.specs.registry import Registry

DATA = {"train": "a" * 64, "validation": "b" * 64, "test": "c" * 64}
SPECS = Registry(("experiments.paper", "ablations")).experiments()


def planned(
    experiment: str | Experiment,
    overrides: Mapping[str, Any] | None = None,
    profile: str = "cpu",
    seeds: tuple[int, ...] = (0,),
    data: Mapping[str, str] = DATA,
) -> Plan:
    """The plan of a spec, or of the one of that name."""
    spec = SPECS[experiment] if isinstance(experiment, str) else experiment
    return plan(spec, PROFILES[profile], seeds, overrides or {}, data)
