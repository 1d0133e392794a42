"""Profiles: overlays on a recipe, one TOML file each, without code of their own."""

from __future__ import annotations

import importlib.resources
import json
import tomllib
from importlib.resources.abc import Traversable

from experiments.profiles.base import Profile
from sftok.config import ConfigError


def _read(name: str) -> Profile:
    folder = importlib.resources.files(__name__)
    values = tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
    measured = folder / f"{name}.benchmark.json"
    if measured.is_file():
        values["seconds_per_step"] = _costs(measured)
    return Profile.build(values)


def _costs(path: Traversable) -> dict[str, float]:
    """Seconds per step measured by tests/benchmarks/gpu.py on the profile's GPU."""
    try:
        measured = json.loads(path.read_text("utf-8"))
    except ValueError:
        measured = {}
    if measured.get("tiny") or not measured.get("seconds_per_step"):
        why = "measured with --tiny" if measured.get("tiny") else "without seconds_per_step"
        raise ConfigError(
            f"{path}: {why}; delete it, or replace it with the gpu_benchmark.json of `nox -s gpu_benchmark`"
        )
    costs: dict[str, float] = measured["seconds_per_step"]
    return costs


PROFILES: dict[str, Profile] = {name: _read(name) for name in ("smoke", "cpu", "gpu", "paper")}
