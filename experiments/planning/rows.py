"""Planning of one row at one seed: which artifacts it needs, by what is measured and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.artifacts import Artifact
from experiments.planning.evaluation import plan_evaluation
from experiments.planning.generation import (
    TokenSource,
    plan_generation,
    plan_generator,
    teacher_source,
    tokenizer_source,
)
from experiments.planning.training import plan_classifier, plan_codes, plan_stages, plan_teacher
from experiments.recipe import Recipe
from experiments.spec import Row


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

    @property
    def artifacts(self) -> dict[Artifact, None]:
        """All that the row needs, in order."""
        return dict.fromkeys(each for end in self.measurements for each in end.with_inputs())


def plan_row(row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]) -> PlannedRow:
    """What `row` needs at `seed`, by what it measures and on what."""
    return _PLANNERS[row.measures, row.subject](row, recipe, seed, fingerprints)


def _plan_tokenizer(row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]) -> PlannedRow:
    teacher = plan_teacher(recipe, fingerprints)
    stages = plan_stages(row, recipe, seed, teacher, fingerprints)
    kept = {"kept_tokens": recipe.kept_tokens} if recipe.evaluation.kept_share < 1 else {}
    evaluation = plan_evaluation(
        recipe,
        {"teacher": teacher, "tokenizer": stages[-1]},
        fingerprints,
        label=f"evaluation of {row.name}, seed {seed}",
        own=kept,
    )
    return PlannedRow(row=row.name, seed=seed, training=tuple(stages), evaluation=evaluation)


def _plan_the_teacher(row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]) -> PlannedRow:
    """The teacher measured as a system of its own: the same artifact at every seed, as the teacher is."""
    name = row.name if row.variants else "the teacher"
    teacher = _measured_teacher(row, recipe, fingerprints)
    evaluation = plan_evaluation(recipe, {"teacher": teacher}, fingerprints, label=f"evaluation of {name}")
    return PlannedRow(row=row.name, seed=seed, training=(teacher,), evaluation=evaluation)


def _plan_generation_by_tokenizer(
    row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]
) -> PlannedRow:
    stages = plan_stages(row, recipe, seed, plan_teacher(recipe, fingerprints), fingerprints)
    source = tokenizer_source(recipe, stages[-1], fingerprints, label=f"{row.name}, seed {seed}")
    return _from_ids(row.name, row, recipe, seed, stages, source, fingerprints)


def _plan_generation_by_teacher(
    row: Row, recipe: Recipe, seed: int, fingerprints: Mapping[str, str]
) -> PlannedRow:
    name = row.name if row.variants else "teacher"
    teacher = _measured_teacher(row, recipe, fingerprints)
    # A generator learns the ids of the images as they are, whatever views the tokenizer was trained on.
    source = teacher_source(recipe, teacher, plan_codes(recipe, teacher, fingerprints, views={}))
    return _from_ids(name, row, recipe, seed, [teacher], source, fingerprints)


def _measured_teacher(row: Row, recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    """The teacher as a system of its own; one that differs from the others' is trained in any case."""
    if not row.variants:
        return plan_teacher(recipe, fingerprints)
    trained = recipe.teacher.model_copy(update={"checkpoint": None})
    return plan_teacher(recipe.model_copy(update={"teacher": trained}), fingerprints, label=row.name)


def _from_ids(
    name: str,
    row: Row,
    recipe: Recipe,
    seed: int,
    stages: Sequence[Artifact],
    source: TokenSource,
    fingerprints: Mapping[str, str],
) -> PlannedRow:
    """Generation once it is known where ids come from."""
    generator = plan_generator(recipe, seed, source, fingerprints, label=name)
    classifier = plan_classifier(recipe, fingerprints)
    evaluation = plan_generation(recipe, seed, source, generator, classifier, fingerprints, label=name)
    return PlannedRow(row=row.name, seed=seed, training=(*stages, generator), evaluation=evaluation)


_PLANNERS = {
    ("reconstruction", "tokenizer"): _plan_tokenizer,
    ("reconstruction", "teacher"): _plan_the_teacher,
    ("generation", "tokenizer"): _plan_generation_by_tokenizer,
    ("generation", "teacher"): _plan_generation_by_teacher,
}
