"""Planning: `spec + profile + seeds + overrides + data fingerprints -> Plan`, a pure function.

A plan is the artifact graph of one request. Rows share artifacts with equal keys.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.calibration import Calibration
from experiments.planning.rows import PlannedRow, plan_reference, plan_row
from experiments.profiles.base import Profile
from experiments.recipe import Overlay, Recipe, resolve
from experiments.specs import Experiment, Row
from sftok.config import ConfigError, overlap

ALL = "all"
"""The name of the combination of all experiments."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All artifacts of a request, each once, inputs before the artifacts that need them."""

    experiment: Experiment
    profile: Profile
    seeds: tuple[int, ...]
    overrides: Mapping[str, Any]
    recipe: Recipe
    """The configuration without the rows' overrides."""
    artifacts: tuple[Artifact, ...]
    rows: tuple[PlannedRow, ...]
    reference: Artifact | None
    """The evaluation of the teacher itself and of the real images; None if no row uses its teacher."""
    calibration: Artifact
    """The calibration of the feature spaces; made only if a row measures it."""

    @functools.cached_property
    def users(self) -> Counter[Artifact]:
        """Number of rows and seeds that use each artifact, directly or indirectly."""
        return Counter(artifact for row in self.rows for artifact in row.artifacts)

    @property
    def unshared_count(self) -> int:
        """Number of artifacts if rows did not share them."""
        return sum(len(row.artifacts) for row in self.rows) + (self.reference is not None)

    def recipe_of(self, row: str) -> Recipe:
        """The resolved configuration of one row."""
        own = self.profile.overlay_of(self.experiment.row(row))
        return resolve(self.profile.overlay, own, self.overrides)


def plan(
    experiment: Experiment,
    profile: Profile,
    seeds: Sequence[int],
    overrides: Overlay,
    fingerprints: Mapping[str, str],
) -> Plan:
    """The artifact graph of `experiment` at `profile`.

    `fingerprints` identify the data of each split: train, validation, test.

    Raises:
        ConfigError: a key is unknown or a value is out of range, in the profile, a row or an override.
    """
    _check_rows(experiment, profile, overrides)
    recipes = [
        (row, resolve(profile.overlay, profile.overlay_of(row), overrides)) for row in experiment.trained_rows
    ]

    def speed_at(row: Row) -> int | None:
        return experiment.steps_of(row.name) if experiment.rates else None

    rows = [
        plan_row(row, recipe, seed, fingerprints, experiment.analyses, speed_at(row))
        for seed in seeds
        for row, recipe in recipes
    ]
    base = resolve(profile.overlay, overrides)
    made = dict.fromkeys(artifact for row in rows for artifact in row.artifacts)
    measured = plan_reference(base, fingerprints)
    # When teachers are swept, possibly no row uses the base's own teacher.
    reference = measured if measured.teacher in made else None
    ordered = dict.fromkeys(reference.with_inputs()) | made if reference else made
    return Plan(
        experiment=experiment,
        profile=profile,
        seeds=tuple(seeds),
        overrides=dict(overrides),
        recipe=base,
        artifacts=tuple(ordered),
        rows=tuple(rows),
        reference=reference,
        calibration=Calibration.plan(base, fingerprints),
    )


def combined(plans: Sequence[Plan]) -> Plan:
    """The union of plans with equal profile, seeds and overrides; its rows are named `table1.sftok-b`."""
    named = [
        (f"{plan.experiment.name}.{row.name}", f"{plan.experiment.name}: {row.label}", row)
        for plan in plans
        for row in plan.experiment.trained_rows
    ]
    experiment = Experiment(
        name=ALL,
        kind="table",
        title="All tables, figures and ablations",
        source=", ".join(plan.experiment.name for plan in plans),
        description="All experiments in one plan, so that shared artifacts are made once.",
        rows=tuple(row.model_copy(update={"name": name, "label": label}) for name, label, row in named),
    )
    return replace(
        plans[0],
        experiment=experiment,
        artifacts=tuple(dict.fromkeys(artifact for plan in plans for artifact in plan.artifacts)),
        rows=tuple(
            replace(row, row=f"{plan.experiment.name}.{row.row}") for plan in plans for row in plan.rows
        ),
        reference=next((plan.reference for plan in plans if plan.reference is not None), None),
    )


def splits_read(experiments: Iterable[Experiment], recipe: Recipe) -> set[str]:
    """The splits that the rows of `experiments` read, besides the training images."""
    rows = [row for experiment in experiments for row in experiment.trained_rows]
    generates = any(row.measures == "generation" for row in rows)
    return {recipe.evaluation.split} | ({recipe.generation.choice_split} if generates else set())


def refuse_incomparable(plan: Plan) -> None:
    """Refuse a sweep in which two rows are identical, or rows are measured by different networks.

    Raises:
        ConfigError: names the rows, or a remedy that makes them comparable.
    """
    judges = {
        frozenset(each for each in row.evaluation.inputs.values() if each.kind in ("classifier", "judge"))
        for row in plan.rows
    }
    if len(judges) > 1:
        raise ConfigError(
            f"each value of {', '.join(plan.experiment.swept)} would be measured by an in-domain classifier "
            "of its own, and the numbers would not be comparable; name a feature space that all share: "
            """--set 'evaluation.extractors=[{"name": "efficientnet-lite0"}]' """
            "--set evaluation.primary_extractor=efficientnet-lite0"
        )
    seen: dict[str, str] = {}
    for row in plan.rows:
        if row.seed != plan.seeds[0]:
            continue
        other = seen.setdefault(row.evaluation.name, row.row)
        if other != row.row:
            first, second = (plan.experiment.row(name).label for name in (other, row.row))
            raise ConfigError(f"the sweep's rows [{first}] and [{second}] are the same configuration here")


def _check_rows(experiment: Experiment, profile: Profile, overrides: Overlay) -> None:
    for row in experiment.trained_rows:
        if row.as_in:
            raise ConfigError(
                f"{experiment.name}: row {row.name!r} is of {row.as_in}; plan what a Registry returns"
            )
        for own in sorted(profile.overlay_of(row)):
            for key in sorted(overrides):
                if overlap(own, key):
                    raise ConfigError(
                        f"the rows of {experiment.name} differ in {key} (row {row.name!r} sets {own}), so it "
                        "cannot be set for all of them"
                    )
