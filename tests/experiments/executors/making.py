"""Requests of fake artifacts, for executors."""

from __future__ import annotations

from experiments.artifacts import Artifact
from experiments.paper import table4
from experiments.planning.plan import Plan, plan
from experiments.planning.requests import Request
from experiments.profiles import PROFILES


def make_request(*artifacts: Artifact) -> Request:
    """A request whose plan is of these artifacts alone."""
    real = plan(table4.EXPERIMENT, PROFILES["smoke"], (0,), {}, {"train": "", "test": ""})
    fake = Plan(
        experiment=real.experiment,
        profile=real.profile,
        seeds=(0,),
        overrides={},
        recipe=real.recipe,
        artifacts=artifacts,
        rows=(),
        reference=artifacts[0],
    )
    return Request(fake, "a command", "no data", "2026-01-01T00:00:00+00:00")
