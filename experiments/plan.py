"""Planning: `spec + profile + seeds + overrides + data fingerprints -> Plan`, a pure function.

The plan is the artifact graph of one request. Rows share whatever has the same key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.analyses import analysis
from experiments.artifacts import Artifact
from experiments.nodes import dump, node
from experiments.plan_generation import (
    TokenSource,
    plan_evaluation,
    plan_generator,
    teacher_source,
    tokenizer_source,
)
from experiments.profiles.base import Profile
from experiments.recipe import Overlay, Recipe, resolve
from experiments.spec import Experiment, Row
from sftok.config import ConfigError


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """One row at one seed: its training stages in order, and what is measured at the end."""

    row: str
    seed: int
    training: tuple[Artifact, ...]
    evaluation: Artifact
    analyses: tuple[Artifact, ...] = ()

    @property
    def measurements(self) -> tuple[Artifact, ...]:
        """The evaluation, and the analyses that the experiment asks for."""
        return (self.evaluation, *self.analyses)


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
    reference: Artifact | None
    """The evaluation of the teacher itself and of the real images; none where no row is run."""

    def users(self, node: Artifact) -> int:
        """How many rows and seeds use `node`, directly or through others."""
        return sum(node in _all_of(row) for row in self.rows)

    @property
    def unshared_count(self) -> int:
        """How many artifacts there would be if every row made its own."""
        own = sum(len(_all_of(row)) for row in self.rows)
        return own + (self.reference is not None)

    def recipe_of(self, row: str) -> Recipe:
        """The resolved configuration of one row."""
        return resolve(
            self.profile.overlay, self.profile.overlay_of(self.experiment.row(row)), self.overrides
        )


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
    _check_rows(experiment, profile, overrides)
    rows = []
    for seed in seeds:
        for row in experiment.trained_rows:
            recipe = resolve(profile.overlay, profile.overlay_of(row), overrides)
            planned = _PLANNERS[row.measures, row.subject](row, recipe, seed, fingerprints)
            analyses = (
                analysis(name, planned.evaluation, recipe, f"{name} of {row.name}, seed {seed}")
                for name in experiment.analyses
            )
            rows.append(replace(planned, analyses=tuple(analyses)))
    base = resolve(profile.overlay, overrides)
    reference = _reference(base, fingerprints) if rows else None
    ordered: dict[Artifact, None] = {}
    for end in filter(None, [reference, *(end for row in rows for end in row.measurements)]):
        ordered |= dict.fromkeys(_with_inputs(end))
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


def _check_rows(experiment: Experiment, profile: Profile, overrides: Overlay) -> None:
    for row in experiment.trained_rows:
        if row.as_in:
            raise ConfigError(
                f"{experiment.name}: row {row.name!r} stands in {row.as_in}; `registry.discover` fills it in"
            )
        if both := sorted(set(profile.overlay_of(row)) & set(overrides)):
            raise ConfigError(
                f"{both[0]} is what the rows of {experiment.name} differ in (row {row.name!r} sets it); "
                "it cannot be set for all of them"
            )


def _with_inputs(node: Artifact) -> list[Artifact]:
    ordered: dict[Artifact, None] = {}
    for upstream in node.inputs.values():
        ordered |= dict.fromkeys(_with_inputs(upstream))
    return [*ordered, node]


def _all_of(row: PlannedRow) -> dict[Artifact, None]:
    return dict.fromkeys(node for end in row.measurements for node in _with_inputs(end))


def _plan_tokenizer(row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]) -> PlannedRow:
    teacher = _teacher(recipe, fingerprints)
    stages = _stages(row, recipe, seed, teacher, fingerprints)
    kept = {"kept_tokens": recipe.kept_tokens} if recipe.evaluation.kept_share < 1 else {}
    evaluation = _evaluation(
        recipe,
        {"teacher": teacher, "tokenizer": stages[-1]},
        fingerprints,
        label=f"evaluation of {row.name}, seed {seed}",
        own=kept,
    )
    return PlannedRow(row=row.name, seed=seed, training=tuple(stages), evaluation=evaluation)


def _plan_teacher(row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]) -> PlannedRow:
    """The teacher measured as a system of its own: the same artifact at every seed, as the teacher is."""
    name = row.name if row.variants else "the teacher"
    teacher = _teacher(recipe, fingerprints, label=row.name if row.variants else "teacher")
    evaluation = _evaluation(
        recipe, {"teacher": teacher}, fingerprints, label=f"evaluation of {name}", own={}
    )
    return PlannedRow(row=row.name, seed=seed, training=(teacher,), evaluation=evaluation)


def _plan_generation_by_tokenizer(
    row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]
) -> PlannedRow:
    stages = _stages(row, recipe, seed, _teacher(recipe, fingerprints), fingerprints)
    source = tokenizer_source(recipe, stages[-1], fingerprints, label=f"{row.name}, seed {seed}")
    return _plan_generation(row.name, row, recipe, seed, stages, source, fingerprints)


def _plan_generation_by_teacher(
    row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]
) -> PlannedRow:
    name = row.name if row.variants else "teacher"
    teacher = _teacher(recipe, fingerprints, label=name)
    # A generator learns the ids of the images as they are, whatever views the tokenizer was trained on.
    source = teacher_source(recipe, teacher, _codes(recipe, teacher, fingerprints, views={}))
    return _plan_generation(name, row, recipe, seed, [teacher], source, fingerprints)


def _plan_generation(
    name: str,
    row: Row,
    recipe: Recipe,
    seed: int,
    stages: Sequence[Artifact],
    source: TokenSource,
    fingerprints: Mapping[str, str],
) -> PlannedRow:
    generator = plan_generator(recipe, seed, source, fingerprints, label=name)
    classifier = _needed_classifier(recipe, fingerprints)
    evaluation = plan_evaluation(recipe, seed, source, generator, classifier, fingerprints, label=name)
    return PlannedRow(row=row.name, seed=seed, training=(*stages, generator), evaluation=evaluation)


_PLANNERS = {
    ("reconstruction", "tokenizer"): _plan_tokenizer,
    ("reconstruction", "teacher"): _plan_teacher,
    ("generation", "tokenizer"): _plan_generation_by_tokenizer,
    ("generation", "teacher"): _plan_generation_by_teacher,
}


def _stages(
    row: Row, recipe: Recipe, seed: int, teacher: Artifact, fingerprints: Mapping[str, str]
) -> list[Artifact]:
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


def _codes_of_views(
    recipe: Recipe, teacher: Artifact, fingerprints: Mapping[str, str]
) -> dict[str, Artifact]:
    """The cache of the teacher's codes; none where every step computes those of the views that it sees."""
    return {"codes": _codes(recipe, teacher, fingerprints, _views(recipe))} if recipe.codes_are_cached else {}


def _teacher(recipe: Recipe, fingerprints: Mapping[str, str], label: str = "teacher") -> Artifact:
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


def _codes(
    recipe: Recipe, teacher: Artifact, fingerprints: Mapping[str, str], views: Mapping[str, Any]
) -> Artifact:
    return node(
        recipe,
        "codes",
        config=views,
        inputs={"teacher": teacher},
        data={"train": fingerprints["train"]},
        label="teacher codes",
    )


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


def _evaluation(
    recipe: Recipe,
    inputs: Mapping[str, Artifact],
    fingerprints: Mapping[str, str],
    label: str,
    own: Mapping[str, Any],
) -> Artifact:
    split = recipe.evaluation.split
    return node(
        recipe,
        "evaluation",
        config={"protocol": dump(recipe.evaluation, exclude={"primary_extractor", "kept_share"}), **own},
        inputs={**_needed_classifier(recipe, fingerprints), **inputs},
        data={split: fingerprints[split]},
        label=label,
    )


def _reference(recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    inputs = {"teacher": _teacher(recipe, fingerprints)}
    return _evaluation(recipe, inputs, fingerprints, label="evaluation of the teacher", own={})


def _needed_classifier(recipe: Recipe, fingerprints: Mapping[str, str]) -> dict[str, Artifact]:
    named = {extractor.name for extractor in recipe.evaluation.extractors}
    return {"classifier": _classifier(recipe, fingerprints)} if "classifier" in named else {}


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


def _views(recipe: Recipe) -> dict[str, Any]:
    """What a training says of the views of its images; nothing where it sees the centre crops."""
    return {"augmentation": dump(recipe.augmentation)} if recipe.augmentation.active else {}
