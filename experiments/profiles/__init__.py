"""Profiles: overlays on a recipe, one file each, never a different code path."""

from __future__ import annotations

from experiments.profiles import cpu, gpu, paper, smoke
from experiments.profiles.base import Profile

PROFILES: dict[str, Profile] = {module.PROFILE.name: module.PROFILE for module in (smoke, cpu, gpu, paper)}
DEFAULT = cpu.PROFILE.name
