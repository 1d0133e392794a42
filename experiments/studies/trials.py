"""Converts Optuna's trials to records and back."""

from __future__ import annotations

from datetime import timedelta

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from experiments.records.study_results import StudyRun, TrialRecord
from experiments.records.study_results import TrialState as State
from experiments.specs.study import Choice, Dimension, FloatRange

STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


def to_record(trial: FrozenTrial) -> TrialRecord:
    """The record of a trial."""
    return TrialRecord(
        number=trial.number,
        state=next(name for name, state in STATES.items() if state is trial.state),
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        parameters=trial.params,
        reason=trial.user_attrs.get("reason", ""),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        losses=trial.intermediate_values,
        evaluation=trial.user_attrs.get("evaluation", ""),
    )


def from_records(run: StudyRun) -> list[FrozenTrial]:
    """The trials of a stored study as Optuna trials, with new dates."""
    return [_from_record(run, trial) for trial in run.trials]


def _from_record(run: StudyRun, trial: TrialRecord) -> FrozenTrial:
    attributes = {"reason": trial.reason, "evaluation": trial.evaluation, "extractor": run.extractor}
    found = create_trial(
        state=STATES[trial.state],
        value=trial.value,
        params=trial.parameters,
        distributions={name: _distribution(run.study.space[name]) for name in trial.parameters},
        user_attrs={name: value for name, value in attributes.items() if value},
        intermediate_values=trial.losses,
    )
    if trial.seconds is not None and found.datetime_start:
        found.datetime_complete = found.datetime_start + timedelta(seconds=trial.seconds)
    return found


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.choices)
    if isinstance(dimension, FloatRange):
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return IntDistribution(dimension.low, dimension.high, log=dimension.log)
