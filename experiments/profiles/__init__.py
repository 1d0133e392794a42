"""Profiles: overlays on a recipe, one TOML file each, never a different code path."""

from __future__ import annotations

import importlib.resources
import json
import tomllib

from experiments.profiles.base import Profile

DEFAULT = "cpu"


def _read(name: str) -> Profile:
    folder = importlib.resources.files(__name__)
    values = tomllib.loads((folder / f"{name}.toml").read_text("utf-8"))
    # What tests/benchmarks/gpu.py has measured, on the card that the profile is used on.
    measured = folder / f"{name}.benchmark.json"
    if measured.is_file():
        values["seconds_per_step"] = json.loads(measured.read_text("utf-8"))["seconds_per_step"]
    return Profile.build(values)


PROFILES: dict[str, Profile] = {name: _read(name) for name in ("smoke", "cpu", "gpu", "paper")}
