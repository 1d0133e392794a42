"""A study at one profile in one store: what a trial needs, what it is worth, and how the trials get done."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from experiments.executors.datasets import DataSets
from experiments.executors.events import Listener
from experiments.executors.inline import Runner
from experiments.executors.stop import Interrupted, Stop
from experiments.planning.plan import Plan, plan
from experiments.profiles.base import Profile
from experiments.recipe import resolve
from experiments.records.verdicts import is_extractor
from experiments.spec import Experiment
from experiments.store import CHECKPOINT, Store
from experiments.studies.journal import KILLED, Journal
from experiments.studies.rungs import Rungs, TrialStop
from experiments.study import Choice, Study
from sftok.config import ConfigError

SPLIT = "validation"
"""What trials are measured on: never the images that tables report."""

ATTEMPTS = 3
"""How many attempts at a trial may be killed at the same point: the next one would be, too."""


class TrialFailed(RuntimeError):
    """A trial has no value; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study with everything that decides its trials."""

    study: Study
    experiment: Experiment
    """Whose row the study starts from."""
    profile: Profile
    overrides: Mapping[str, Any]
    fingerprints: Mapping[str, str]
    """Of the training and the validation images."""

    def plan(self, parameters: Mapping[str, Any]) -> Plan:
        """The artifacts of a trial, its evaluation last.

        Raises:
            ConfigError: a value is out of range, or an override is what the study searches or measures.
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
        # The teacher's own evaluation is for tables.
        needed = tuple(found.rows[0].evaluation.with_inputs())
        return replace(found, artifacts=needed, reference=None)

    def _measured(self) -> dict[str, Any]:
        """The evaluation of a trial: the objective alone, so that it costs no more than it must."""
        primary = resolve(self.profile.overlay, self.overrides).evaluation.primary
        return {
            "evaluation.split": SPLIT,
            "evaluation.steps": [self.study.objective.steps],
            "evaluation.extractors": [primary.model_dump()],
        }

    def check(self) -> None:
        """Plan the ends of every range and every choice, so that no trial fails on its configuration.

        Raises:
            ConfigError: a key or a value cannot be used.
        """
        ends = {
            name: list(each.choices) if isinstance(each, Choice) else [each.low, each.high]
            for name, each in self.study.space.items()
        }
        first = {name: values[0] for name, values in ends.items()}
        for name, values in ends.items():
            for value in values:
                self.plan(first | {name: value})

    def example(self) -> Plan:
        """The trial at the first end of every range: what it needs, all of them do."""
        return self.plan(
            {
                name: each.choices[0] if isinstance(each, Choice) else each.low
                for name, each in self.study.space.items()
            }
        )

    def identity(self) -> str:
        """A hash of the study (but for its length) and of all that its trials have in common."""
        content = self.study.model_dump(mode="json", exclude={"trials", "title", "description"})
        text = json.dumps([content, self.example().rows[0].evaluation.key], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def value(self, trial: Plan, store: Store) -> tuple[float, str]:
        """The objective of a finished trial, and the feature space it was measured in.

        Raises:
            TrialFailed: there is no such number, or it is not finite.
        """
        objective, primary = self.study.objective, trial.recipe.evaluation.primary_extractor
        found = [
            row
            for row in (store.result(trial.rows[0].evaluation) or {})["rows"]
            if row["metric"] == objective.metric
            and row["steps"] in (objective.steps, None)
            and (not row["extractor"] or is_extractor(row["extractor"], primary))
        ]
        if len(found) != 1:
            raise TrialFailed(f"the evaluation has {len(found)} values of {objective.metric}")
        if not math.isfinite(found[0]["value"]):
            raise TrialFailed(f"{objective.metric} is {found[0]['value']}")
        return found[0]["value"], found[0]["extractor"]


def work(
    search: Search,
    journal: Journal,
    budget: int,
    store: Store,
    data: DataSets,
    listeners: Callable[[Trial, Plan], list[Listener]],
    stop: Stop,
    told: Callable[[], object] = lambda: None,
) -> None:
    """Do trials until `budget` of them are over, together with whoever else does; `told` after each.

    Raises:
        Interrupted: asked to stop; the trial is left as it is and gone on with by whoever comes next.
        StoreError: the store is full.
    """
    while True:
        with stop.on_signals(), journal.hand_out(budget, stop.requested) as trial:
            if stop.requested():
                raise Interrupted(f"stopped {search.study.name} between two trials")
            if trial is None:
                return
            # It is over already where another worker took it for lost: this one had slept.
            with contextlib.suppress(UpdateFinishedTrialError):
                _do(trial, search, journal, store, data, listeners, stop)
            told()


def _do(
    trial: Trial,
    search: Search,
    journal: Journal,
    store: Store,
    data: DataSets,
    listeners: Callable[[Trial, Plan], list[Listener]],
    stop: Stop,
) -> None:
    own = TrialStop(stop)
    try:
        planned = search.plan(trial.params)
        trial.set_user_attr("evaluation", planned.rows[0].evaluation.name)
        _give_up_what_kills(trial, planned, store)
        _make(planned, search, trial, store, data, listeners(trial, planned), own)
        value, extractor = search.value(planned, store)
    except (TrialFailed, ConfigError) as error:
        _tell(trial, journal, {"reason": str(error)}, TrialState.FAIL)
    except Interrupted:
        if not own.pruned:
            raise
        _tell(trial, journal, {"reason": own.pruned}, TrialState.PRUNED)
    else:
        _tell(trial, journal, {"extractor": extractor}, TrialState.COMPLETE, value)


def _tell(
    trial: Trial,
    journal: Journal,
    attributes: Mapping[str, str],
    state: TrialState,
    value: float | None = None,
) -> None:
    """End a trial.

    Raises:
        UpdateFinishedTrialError: another worker has.
    """
    for name, said in attributes.items():
        trial.set_user_attr(name, said)
    journal.study.tell(trial, value, state, skip_if_finished=True)


def _give_up_what_kills(trial: Trial, planned: Plan, store: Store) -> None:
    """Refuse a trial whose last attempts were killed and left nothing to go on from.

    A job that is preempted and killed after its checkpoint got further, so it may be as often as it has to.

    Raises:
        TrialFailed: there were `ATTEMPTS` of them.
    """
    reached = _reached(planned, store)
    if trial.user_attrs.get("reached") != reached:
        trial.set_user_attr("reached", reached)
        trial.set_user_attr(KILLED, 0)
    elif trial.user_attrs.get(KILLED, 0) >= ATTEMPTS:
        raise TrialFailed(
            f"{ATTEMPTS} attempts were killed (by hand, or for want of memory) and got no further"
        )


def _reached(planned: Plan, store: Store) -> list[int]:
    """What a kill does not undo: how many artifacts are there, and the time of the latest checkpoint."""
    left = [artifact for artifact in planned.artifacts if not store.is_done(artifact)]
    written = [0]
    for artifact in left:
        with contextlib.suppress(FileNotFoundError):
            written.append((store.work_folder(artifact) / CHECKPOINT).stat().st_mtime_ns)
    return [len(planned.artifacts) - len(left), max(written)]


def _make(
    planned: Plan,
    search: Search,
    trial: Trial,
    store: Store,
    data: DataSets,
    listeners: Sequence[Listener],
    stop: TrialStop,
) -> None:
    """Make what the trial needs, the training first.

    Raises:
        TrialFailed: something of it failed.
        Interrupted: pruned, or asked to stop.
    """
    row = planned.rows[0]
    watching: list[Listener] = list(listeners)
    trained = planned
    if search.study.pruner is not None:
        stages = [stage for stage in row.training if stage.kind == "stage"]
        rungs = Rungs(trial, search.study.pruner, stages, store, stop)
        rungs.catch_up()
        watching.append(rungs)
        needed = dict.fromkeys(each for stage in stages for each in stage.with_inputs())
        trained = replace(planned, artifacts=tuple(needed))
        _run(trained, store, data, watching, stop)
        rungs.catch_up()
    _run(planned, store, data, watching, stop)


def _run(planned: Plan, store: Store, data: DataSets, listeners: list[Listener], stop: TrialStop) -> None:
    if stop.requested():
        raise Interrupted("stopped before an artifact")
    failures = Runner(store, data.load, listeners, stop).run(planned.artifacts)
    for artifact, reason in failures.items():
        raise TrialFailed(f"{artifact.label} ({artifact.name}): {reason}")
