"""A study at one profile: plans its trials and reads their values."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from experiments.planning.plan import Plan, plan
from experiments.profiles.base import Profile
from experiments.recipe import resolve
from experiments.records.verdicts import is_extractor
from experiments.specs import Experiment, Study
from experiments.specs.study import Choice
from experiments.store import Store
from sftok.config import ConfigError
from sftok.metrics.base import describe
from sftok.metrics.quantity import Quantity

SPLIT = "validation"
"""The split on which trials are measured, never the one that tables report."""


class TrialFailed(RuntimeError):
    """A trial has no value; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study with everything that determines its trials."""

    study: Study
    experiment: Experiment
    """The experiment with the row that is the starting point."""
    profile: Profile
    overrides: Mapping[str, Any]
    fingerprints: Mapping[str, str]
    """Fingerprints of the training and validation images."""
    source: Mapping[str, str] = field(default_factory=dict)
    """The user's own file that defines the study, if any (`Registry.source`)."""

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """The artifacts of a trial, with its evaluation last.

        Raises:
            ConfigError: a value is out of range, or an override conflicts with what the study searches or
                measures.
        """
        measured = self._measured()
        if wrong := sorted(set(measured) & set(self.overrides)):
            raise ConfigError(f"{wrong[0]} is part of what the study {self.study.name} measures")
        base = self.experiment.row(self.study.row)
        changes = base.overrides | self.study.overlay(parameters)
        row = base.model_copy(update={"name": "trial", "overrides": changes, "published": {}})
        trial = self.experiment.model_copy(
            update={"name": f"study-{self.study.name}", "rows": (row,), "claims": ()}
        )
        seeds = (self.study.training_seed,)
        found = plan(trial, self.profile, seeds, {**self.overrides, **measured}, self.fingerprints)
        # The teacher's own evaluation is only for tables.
        needed = tuple(found.rows[0].evaluation.with_inputs())
        return replace(found, artifacts=needed, reference=None)

    def _measured(self) -> dict[str, Any]:
        """The evaluation settings of a trial, which measures only the objective, to save time."""
        primary = resolve(self.profile.overlay, self.overrides).evaluation.primary
        return {
            "evaluation.split": SPLIT,
            "evaluation.steps": [self.study.objective.steps],
            "evaluation.extractors": [primary.model_dump()],
        }

    def check(self) -> None:
        """Plan both ends of every range and every choice, so that no trial fails on its configuration.

        Raises:
            ConfigError: a key or value is invalid.
        """
        first = self._first()
        for name, each in self.study.space.items():
            for value in each.choices if isinstance(each, Choice) else (each.low, each.high):
                self.plan(first | {name: value})

    def example(self) -> Plan:
        """The trial at the lower end of every range, which shares its requirements with all trials."""
        return self.plan(self._first())

    def _first(self) -> dict[str, Any]:
        space = self.study.space.items()
        return {name: each.choices[0] if isinstance(each, Choice) else each.low for name, each in space}

    def identity(self) -> str:
        """A hash of the study, except its length and texts, and of everything that its trials share."""
        content = self.study.model_dump(mode="json", exclude={"trials", "title", "description"})
        text = json.dumps([content, self.example().rows[0].evaluation.key], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def metric(self) -> Quantity | None:
        """The description of the objective's metric; None if the evaluation does not measure it."""
        metrics = describe(resolve(self.profile.overlay, self.overrides).evaluation.metrics)
        known = metrics.get(self.study.objective.metric)
        return None if known is None else Quantity.model_validate(known)

    def runnable(self) -> str:
        """The argument with which `run` runs the experiment: its name, or the file that defines it."""
        module = sys.modules.get(self.source.get("name", ""))
        own = getattr(module, "EXPERIMENT", None)
        return self.source["path"] if own and own.name == self.experiment.name else self.experiment.name

    def value(self, trial: Plan, store: Store) -> tuple[float, str]:
        """The objective's value of a finished trial, and the feature space in which it was measured.

        Raises:
            StoreError: the evaluation is damaged.
            TrialFailed: there is no such number, or it is not finite.
        """
        objective, primary = self.study.objective, trial.recipe.evaluation.primary_extractor
        result = store.result(trial.rows[0].evaluation)
        found = [
            row
            for row in (result.rows if result else ())
            if row.metric == objective.metric
            and (row.model_extra or {}).get("steps") in (objective.steps, None)
            and (not row.extractor or is_extractor(row.extractor, primary))
        ]
        if len(found) != 1:
            raise TrialFailed(f"the evaluation has {len(found)} values of {objective.metric}")
        if not math.isfinite(found[0].value):
            raise TrialFailed(f"{objective.metric} is {found[0].value}")
        return found[0].value, found[0].extractor
