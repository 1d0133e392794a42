"""Writes a study down as a record, for reports, and its best trial as an overlay that can be run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from experiments.records.study_results import BEST, TRIALS, StudyRun, TrialRecord
from experiments.records.study_results import TrialState as State
from experiments.store import write_json
from experiments.studies.journal import Journal
from experiments.studies.search import Search

STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}

ENOUGH = 4
"""Complete trials from which importances are told."""


def write_record(
    search: Search,
    journal: Journal,
    folder: Path,
    budget: int,
    data: str,
    command: str,
    options: Sequence[str],
) -> StudyRun:
    """Write `trials.json`, and `best.json` once a trial is complete; `options` are those of the study's own
    command that a run of the best trial needs too.

    Whoever holds `journal.exclusive()` calls this: an older state must not replace a newer one.
    """
    trials = journal.trials()
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    sign = 1 if search.study.objective.lower_is_better else -1
    best = min(complete, key=lambda trial: sign * (trial.value or 0.0), default=None)
    run = ["python", "-m", "experiments", "run", search.experiment.name, "--profile", search.profile.name]
    record = StudyRun(
        study=search.study,
        profile=search.profile.name,
        meaningless=search.profile.meaningless,
        identity=search.identity(),
        overrides=dict(search.overrides),
        data=data,
        command=command,
        updated=datetime.now(UTC).isoformat(timespec="seconds"),
        budget=budget,
        extractor=complete[-1].user_attrs["extractor"] if complete else "",
        trials=tuple(map(_record, trials)),
        importance=_importance(journal.study, complete),
        best=best.number if best else None,
        overlay=search.study.overlay(best.params) if best else {},
        best_command=shlex.join([*run, "--overlay", str(folder / BEST), *options]) if best else "",
    )
    if best:
        write_json(folder / BEST, record.overlay)
    write_json(folder / TRIALS, record.model_dump(mode="json"))
    return record


def _record(trial: FrozenTrial) -> TrialRecord:
    return TrialRecord(
        number=trial.number,
        state=STATES[trial.state],
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        parameters=trial.params,
        reason=trial.user_attrs.get("reason", ""),
        seconds=trial.duration.total_seconds() if trial.duration else None,
        losses=trial.intermediate_values,
        evaluation=trial.user_attrs.get("evaluation", ""),
    )


def _importance(study: optuna.Study, complete: Sequence[FrozenTrial]) -> dict[str, float] | None:
    """PED-ANOVA, which compares the better trials with all of them; None where they are too few or alike."""
    if len(complete) < ENOUGH or len({trial.value for trial in complete}) == 1:
        return None
    return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))
