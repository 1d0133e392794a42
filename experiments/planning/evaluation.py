"""Planning of evaluation: a trained model's reconstructions of one split, under the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts import Artifact
from experiments.planning.nodes import dump, node
from experiments.planning.training import plan_classifier
from experiments.recipe import Recipe


def plan_evaluation(
    recipe: Recipe,
    inputs: Mapping[str, Artifact],
    fingerprints: Mapping[str, str],
    label: str,
    own: Mapping[str, Any] | None = None,
) -> Artifact:
    """The measurement of the models in `inputs`, by role; `own` is what no other row says of itself."""
    split = recipe.evaluation.split
    return node(
        recipe,
        "evaluation",
        config={
            "protocol": dump(recipe.evaluation, exclude={"primary_extractor", "kept_share"}),
            **(own or {}),
        },
        inputs={**plan_classifier(recipe, fingerprints), **inputs},
        data={split: fingerprints[split]},
        label=label,
    )
