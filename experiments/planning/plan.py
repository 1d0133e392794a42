"""Planning: `spec + profile + seeds + overrides + data fingerprints -> Plan`, a pure function.

The plan is the artifact graph of one request. Rows share whatever has the same key.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.artifacts import Artifact
from experiments.planning.analyses import plan_analysis
from experiments.planning.evaluation import plan_evaluation
from experiments.planning.rows import PlannedRow, plan_row
from experiments.planning.training import plan_teacher
from experiments.profiles.base import Profile
from experiments.recipe import Overlay, Recipe, resolve
from experiments.spec import Experiment
from sftok.config import ConfigError, overlap


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
        return self._users[node]

    @functools.cached_property
    def _users(self) -> Counter[Artifact]:
        return Counter(node for row in self.rows for node in row.artifacts)

    @property
    def unshared_count(self) -> int:
        """How many artifacts there would be if every row made its own."""
        own = sum(len(row.artifacts) for row in self.rows)
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
            planned = plan_row(row, recipe, seed, fingerprints)
            analyses = (
                plan_analysis(name, planned.evaluation, recipe, f"{name} of {row.name}, seed {seed}")
                for name in experiment.analyses
            )
            rows.append(replace(planned, analyses=tuple(analyses)))
    base = resolve(profile.overlay, overrides)
    made: dict[Artifact, None] = {}
    for each in rows:
        for end in each.measurements:
            made |= dict.fromkeys(end.with_inputs())
    measured = _reference(base, fingerprints)
    # Where teachers are swept, the base's own may be the bound of none of the rows.
    reference = measured if measured.inputs["teacher"] in made else None
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
    )


def _check_rows(experiment: Experiment, profile: Profile, overrides: Overlay) -> None:
    for row in experiment.trained_rows:
        if row.as_in:
            raise ConfigError(
                f"{experiment.name}: row {row.name!r} stands in {row.as_in}; `registry.discover` fills it in"
            )
        for own in sorted(profile.overlay_of(row)):
            for key in sorted(overrides):
                if overlap(own, key):
                    raise ConfigError(
                        f"{key} is what the rows of {experiment.name} differ in (row {row.name!r} sets "
                        f"{own}); it cannot be set for all of them"
                    )


def _reference(recipe: Recipe, fingerprints: Mapping[str, str]) -> Artifact:
    inputs = {"teacher": plan_teacher(recipe, fingerprints)}
    return plan_evaluation(recipe, inputs, fingerprints, label="evaluation of the teacher")
