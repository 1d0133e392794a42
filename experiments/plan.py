"""Planning: `spec + profile + seeds + overrides + data fingerprints -> Plan`, a pure function.

The plan is the artifact graph of one request. Rows share whatever has the same key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.artifacts import Artifact, artifact
from experiments.profiles.base import Profile
from experiments.recipe import Overlay, Recipe, resolve
from experiments.spec import Experiment
from sftok.config import ConfigError


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """One row at one seed: its training stages in order, and the evaluation at the end."""

    row: str
    seed: int
    training: tuple[Artifact, ...]
    evaluation: Artifact


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All artifacts of a request, inputs before what needs them, each once."""

    experiment: Experiment
    profile: Profile
    seeds: tuple[int, ...]
    overrides: Mapping[str, Any]
    recipe: Recipe
    """The configuration without the rows' overrides."""
    artifacts: tuple[Artifact, ...]
    rows: tuple[PlannedRow, ...]
    reference: Artifact
    """The evaluation of the teacher itself and of the real images."""

    def users(self, node: Artifact) -> int:
        """How many rows and seeds use `node`, directly or through others."""
        return sum(node in _with_inputs(row.evaluation) for row in self.rows)

    @property
    def unshared_count(self) -> int:
        """How many artifacts there would be if every row made its own."""
        return sum(len(_with_inputs(row.evaluation)) for row in self.rows) + 1


def plan(
    experiment: Experiment,
    profile: Profile,
    seeds: Sequence[int],
    overrides: Overlay,
    fingerprints: Mapping[str, str],
) -> Plan:
    """The graph of `experiment` at `profile`.

    `fingerprints` identify the data by split: train, validation, test.

    Raises:
        ConfigError: a key is unknown or a value is out of range, in the profile, a row or an override.
    """
    _refuse_overrides_of_rows(experiment, overrides)
    rows = []
    for seed in seeds:
        for row in experiment.rows:
            recipe = resolve(profile.overlay, row.overrides, overrides)
            rows.append(_plan_row(row.name, recipe, seed, fingerprints))
    base = resolve(profile.overlay, overrides)
    reference = _reference(base, fingerprints)
    ordered: dict[Artifact, None] = {}
    for evaluation in [reference, *(row.evaluation for row in rows)]:
        ordered |= dict.fromkeys(_with_inputs(evaluation))
    return Plan(
        experiment=experiment,
        profile=profile,
        seeds=tuple(seeds),
        overrides=dict(overrides),
        recipe=base,
        artifacts=tuple(ordered),
        rows=tuple(rows),
        reference=reference,
    )


def _refuse_overrides_of_rows(experiment: Experiment, overrides: Overlay) -> None:
    for row in experiment.rows:
        if both := sorted(set(row.overrides) & set(overrides)):
            raise ConfigError(
                f"{both[0]} is what the rows of {experiment.name} differ in (row {row.name!r} sets it); "
                "it cannot be set for all of them"
            )


def _with_inputs(node: Artifact) -> list[Artifact]:
    ordered: dict[Artifact, None] = {}
    for upstream in node.inputs.values():
        ordered |= dict.fromkeys(_with_inputs(upstream))
    return [*ordered, node]


def _plan_row(row: str, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]) -> PlannedRow:
    teacher = _teacher(recipe, fingerprints)
    codes = _artifact(
        recipe,
        "codes",
        config={},
        inputs={"teacher": teacher},
        data={"train": fingerprints["train"]},
        label="teacher codes",
    )
    stages: list[Artifact] = []
    if recipe.stage1.steps:
        warm_up = {
            "stage": "warm-up",
            "training": _dump(recipe.stage1.training),
            "steps": recipe.stage1.steps,
        }
        inputs = {"teacher": teacher, "codes": codes}
        stages.append(_stage(recipe, seed, warm_up, inputs, fingerprints, label=f"warm-up, seed {seed}"))
    if recipe.alignment_steps:
        alignment = {
            "stage": "alignment",
            "training": _dump(recipe.stage2.training),
            "steps": recipe.alignment_steps,
            "alignment": _dump(recipe.stage2, exclude={"training"}),
        }
        inputs = {"teacher": teacher, "codes": codes} | ({"start": stages[-1]} if stages else {})
        stages.append(_stage(recipe, seed, alignment, inputs, fingerprints, label=f"{row}, seed {seed}"))
    if recipe.fine_tuned:
        fine_tuning = {
            "stage": "fine-tuning",
            "training": _dump(recipe.stage3.training),
            "steps": recipe.stage3.steps,
            "fine_tuning": _dump(recipe.stage3, exclude={"training", "steps", "perceptual", "discriminator"}),
            "perceptual": _dump(recipe.stage3.perceptual),
            "discriminator": _dump(recipe.stage3.discriminator),
        }
        inputs = {"start": stages[-1]}
        label = f"fine-tuning of {row}, seed {seed}"
        stages.append(_stage(recipe, seed, fine_tuning, inputs, fingerprints, label=label))
    evaluation = _evaluation(
        recipe,
        {"teacher": teacher, "tokenizer": stages[-1]},
        fingerprints,
        label=f"evaluation of {row}, seed {seed}",
    )
    return PlannedRow(row=row, seed=seed, training=tuple(stages), evaluation=evaluation)


def _teacher(recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    return _artifact(
        recipe,
        "teacher",
        config={
            "model": _dump(recipe.teacher_config()),
            "training": _dump(recipe.teacher.training),
            "steps": recipe.teacher.steps,
            "seed": recipe.teacher.seed,
        },
        data={"train": fingerprints["train"]},
        label="teacher",
        steps=recipe.teacher.steps,
    )


def _stage(
    recipe: Recipe,
    seed: int,
    own: Mapping[str, Any],
    inputs: Mapping[str, Artifact],
    fingerprints: Mapping[str, str],
    label: str,
) -> Artifact:
    return _artifact(
        recipe,
        "stage",
        config={
            "model": _dump(recipe.tokenizer_config()),
            "loss": _dump(recipe.loss),
            "seed": seed,
            **own,
        },
        inputs=inputs,
        data={"train": fingerprints["train"]},
        label=label,
        steps=own["steps"],
    )


def _evaluation(
    recipe: Recipe, inputs: Mapping[str, Artifact], fingerprints: Mapping[str, str], label: str
) -> Artifact:
    split = recipe.evaluation.split
    needs_classifier = any(extractor.name == "classifier" for extractor in recipe.evaluation.extractors)
    classifier = {"classifier": _classifier(recipe, fingerprints)} if needs_classifier else {}
    return _artifact(
        recipe,
        "evaluation",
        config={"protocol": _dump(recipe.evaluation, exclude={"primary_extractor"})},
        inputs={**classifier, **inputs},
        data={split: fingerprints[split]},
        label=label,
    )


def _reference(recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    return _evaluation(
        recipe, {"teacher": _teacher(recipe, fingerprints)}, fingerprints, "evaluation of the teacher"
    )


def _classifier(recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    return _artifact(
        recipe,
        "classifier",
        config={
            "image_size": recipe.data.image_size,
            "channels": list(recipe.classifier.channels),
            "label_smoothing": recipe.classifier.label_smoothing,
            "training": _dump(recipe.classifier.training),
            "steps": recipe.classifier.steps,
            "seed": recipe.classifier.seed,
        },
        data={"train": fingerprints["train"]},
        label="in-domain classifier",
        steps=recipe.classifier.steps,
    )


def _artifact(recipe: Recipe, kind: str, **rest: Any) -> Artifact:
    return artifact(kind, device=recipe.device, tf32=recipe.tf32, **rest)


def _dump(record: Any, **options: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = record.model_dump(mode="json", **options)
    return dumped
