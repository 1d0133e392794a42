"""Profiles: overlays on a recipe, one TOML file each, never a different code path."""

from __future__ import annotations

import importlib.resources
import tomllib

from experiments.profiles.base import Profile

DEFAULT = "cpu"


def _read(name: str) -> Profile:
    return Profile.build(
        tomllib.loads((importlib.resources.files(__name__) / f"{name}.toml").read_text("utf-8"))
    )


PROFILES: dict[str, Profile] = {name: _read(name) for name in ("smoke", "cpu", "gpu", "paper")}
