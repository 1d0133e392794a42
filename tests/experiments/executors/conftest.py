"""Requests of fake artifacts, for executors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.artifacts import Artifact
from experiments.paper import table4
from experiments.plan import Plan, plan
from experiments.profiles import PROFILES
from experiments.requests import Request
from experiments.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.prepare()
    return store


@pytest.fixture
def request_of() -> Callable[..., Request]:
    return make_request


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
