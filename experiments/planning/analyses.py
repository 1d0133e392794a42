"""What is measured of a tokenizer beside its evaluation: Figure 4a's steps, Appendix C's contexts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts import Artifact
from experiments.planning.nodes import node
from experiments.recipe import Recipe

SETTINGS = {
    "steps": ("images", "batch_size", "seed"),
    "contexts": ("images", "batch_size", "seed", "visible_fractions"),
}
"""The entries of `Recipe.analysis` that each analysis reads; those of its decoding stand apart."""


def plan_analysis(name: str, evaluation: Artifact, recipe: Recipe, label: str) -> Artifact:
    """The analysis `name` of the tokenizer that `evaluation` measures, with the same teacher and images."""
    settings = recipe.analysis.model_dump(mode="json")
    kept = {key: value for key, value in evaluation.config.items() if key == "kept_tokens"}
    return node(
        recipe,
        "analysis",
        config={
            "analysis": name,
            "split": recipe.evaluation.split,
            "settings": {key: settings[key] for key in SETTINGS[name]},
            **_own(name, recipe),
            **kept,
        },
        inputs={role: evaluation.inputs[role] for role in ("teacher", "tokenizer")},
        data=evaluation.data,
        label=label,
    )


def _own(name: str, recipe: Recipe) -> Mapping[str, Any]:
    if name == "steps":
        decoding = {
            "steps": recipe.analysis.steps,
            "temperature": recipe.evaluation.temperature,
            "schedule": recipe.evaluation.schedule,
        }
        return {"decoding": decoding}
    # A decoder that never saw a visible code in training has nothing to say about one.
    return {"contexts": ["single"] if recipe.single_step else ["single", "true", "own", "second_pass"]}
