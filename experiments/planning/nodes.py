"""What every part of the planning makes artifacts with."""

from __future__ import annotations

from typing import Any

from experiments.artifacts import Artifact, artifact
from experiments.recipe import Recipe


def node(recipe: Recipe, kind: str, **rest: Any) -> Artifact:
    """An artifact of `kind` on the recipe's device."""
    return artifact(kind, device=recipe.device, tf32=recipe.tf32, **rest)


def dump(record: Any, **options: Any) -> dict[str, Any]:
    """A record as JSON."""
    dumped: dict[str, Any] = record.model_dump(mode="json", **options)
    return dumped
