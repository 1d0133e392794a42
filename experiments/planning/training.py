"""Planning of what is trained before anything is measured: classifier, teacher, its codes, a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.artifacts import Artifact
from experiments.planning.given_teacher import WEIGHTS
from experiments.planning.nodes import dump, node
from experiments.recipe import Recipe
from experiments.spec import Row


def plan_classifier(recipe: Recipe, fingerprints: Mapping[str, str]) -> dict[str, Artifact]:
    """The in-domain classifier as an input of what measures; nothing where no feature space is its own."""
    named = {extractor.name for extractor in recipe.evaluation.extractors}
    return {"classifier": _classifier(recipe, fingerprints)} if "classifier" in named else {}


def plan_teacher(recipe: Recipe, fingerprints: Mapping[str, str], label: str = "teacher") -> Artifact:
    """The 2D tokenizer whose codes are predicted, trained or given; one for all seeds."""
    if recipe.teacher.checkpoint is not None:
        return node(
            recipe,
            "teacher",
            config={"model": dump(recipe.teacher_config())},
            data={WEIGHTS: fingerprints[WEIGHTS]},
            label=label,
            origin=recipe.teacher.checkpoint,
        )
    return node(
        recipe,
        "teacher",
        config={
            "model": dump(recipe.teacher_config()),
            "training": dump(recipe.teacher.training),
            "steps": recipe.teacher.steps,
            "seed": recipe.teacher.seed,
            **_views(recipe),
        },
        data={"train": fingerprints["train"]},
        label=label,
        steps=recipe.teacher.steps,
    )


def plan_codes(
    recipe: Recipe, teacher: Artifact, fingerprints: Mapping[str, str], views: Mapping[str, Any]
) -> Artifact:
    """The teacher's codes of the training images, as `views` show them."""
    return node(
        recipe,
        "codes",
        config=views,
        inputs={"teacher": teacher},
        data={"train": fingerprints["train"]},
        label="teacher codes",
    )


def plan_stages(
    row: Row, recipe: Recipe, seed: int, teacher: Artifact, fingerprints: Mapping[str, str]
) -> list[Artifact]:
    """The stages of a tokenizer in order, each from the one before, as far as the recipe has them."""
    codes = _codes_of_views(recipe, teacher, fingerprints)
    stages: list[Artifact] = []
    if recipe.warm_up_steps:
        warm_up = {
            "stage": "warm-up",
            "training": dump(recipe.stage1.training),
            "steps": recipe.warm_up_steps,
        }
        inputs = {"teacher": teacher, **codes}
        # Rows without variants share their warm-up, so no row gives it its name.
        of_row = row.name if recipe.single_step else f"warm-up of {row.name}" if row.variants else "warm-up"
        stages.append(_stage(recipe, seed, warm_up, inputs, fingerprints, label=f"{of_row}, seed {seed}"))
    if recipe.alignment_steps:
        alignment = {
            "stage": "alignment",
            "training": dump(recipe.stage2.training),
            "steps": recipe.alignment_steps,
            "alignment": dump(recipe.stage2, exclude={"training"}),
        }
        inputs = {"teacher": teacher, **codes} | ({"start": stages[-1]} if stages else {})
        stages.append(_stage(recipe, seed, alignment, inputs, fingerprints, label=f"{row.name}, seed {seed}"))
    if recipe.fine_tuned:
        fine_tuning = {
            "stage": "single-step-fine-tuning" if recipe.single_step else "fine-tuning",
            "training": dump(recipe.stage3.training),
            "steps": recipe.stage3.steps,
            "fine_tuning": dump(recipe.stage3, exclude={"training", "steps", "perceptual", "discriminator"}),
            "perceptual": dump(recipe.stage3.perceptual),
            "discriminator": dump(recipe.stage3.discriminator),
        }
        inputs = {"start": stages[-1]}
        label = f"fine-tuning of {row.name}, seed {seed}"
        stages.append(_stage(recipe, seed, fine_tuning, inputs, fingerprints, label=label))
    return stages


def _classifier(recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    return node(
        recipe,
        "classifier",
        config={
            "image_size": recipe.data.image_size,
            "channels": list(recipe.classifier.channels),
            "label_smoothing": recipe.classifier.label_smoothing,
            "training": dump(recipe.classifier.training),
            "steps": recipe.classifier.steps,
            "seed": recipe.classifier.seed,
            **_views(recipe),
        },
        data={"train": fingerprints["train"]},
        label="in-domain classifier",
        steps=recipe.classifier.steps,
    )


def _codes_of_views(
    recipe: Recipe, teacher: Artifact, fingerprints: Mapping[str, str]
) -> dict[str, Artifact]:
    """The cache of the teacher's codes; none where every step computes those of the views that it sees."""
    if not recipe.codes_are_cached:
        return {}
    return {"codes": plan_codes(recipe, teacher, fingerprints, _views(recipe))}


def _stage(
    recipe: Recipe,
    seed: int,
    own: Mapping[str, Any],
    inputs: Mapping[str, Artifact],
    fingerprints: Mapping[str, str],
    label: str,
) -> Artifact:
    return node(
        recipe,
        "stage",
        config={
            "model": dump(recipe.tokenizer_config()),
            "loss": dump(recipe.loss),
            "seed": seed,
            **({"tail_drop": True} if recipe.tail_drop else {}),
            **_views(recipe),
            **own,
        },
        inputs=inputs,
        data={"train": fingerprints["train"]},
        label=label,
        steps=own["steps"],
    )


def _views(recipe: Recipe) -> dict[str, Any]:
    """What a training says of the views of its images; nothing where it sees the centre crops."""
    return {"augmentation": dump(recipe.augmentation)} if recipe.augmentation.active else {}
