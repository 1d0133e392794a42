"""Writes the record of a study for reports, and its best trial as an overlay for `run`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from experiments.records.study_results import BEST, TRIALS, StudyRun
from experiments.store import write_json
from experiments.studies.journal import Journal
from experiments.studies.search import Search
from experiments.studies.trials import to_record

ENOUGH = 4
"""Minimum number of complete trials for computing importances."""

POLL_SECONDS = 0.05


def write_record(
    search: Search,
    journal: Journal,
    folder: Path,
    budget: int,
    data: str,
    command: str,
    options: Sequence[str],
) -> StudyRun:
    """Write `trials.json`, and `best.json` once a trial is complete.

    Waits for the journal's lock, so that an older state never replaces a newer one.

    Args:
        search: the study.
        journal: its trials.
        folder: folder for the files.
        budget: requested number of trials.
        data: description of the data set.
        command: command line of the study.
        options: options of the command line that a run of the best trial also needs.
    """
    while True:
        with journal.exclusive() as ours:
            if ours:
                record = _record(search, journal.study, budget, data, command)
                if record.best is not None:
                    run = ["python", "-m", "experiments", "run", search.runnable()]
                    run += ["--profile", record.profile, "--overlay", str(folder / BEST), *options]
                    record = record.model_copy(update={"best_command": shlex.join(run)})
                    write_json(folder / BEST, record.overlay)
                else:
                    (folder / BEST).unlink(missing_ok=True)  # of an earlier version of the study
                write_json(folder / TRIALS, record.model_dump(mode="json"))
                return record
        time.sleep(POLL_SECONDS)


def _record(search: Search, study: optuna.Study, budget: int, data: str, command: str) -> StudyRun:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    best = study.best_trial if complete else None
    return StudyRun(
        study=search.study,
        profile=search.profile.name,
        meaningless=search.profile.meaningless,
        identity=search.identity(),
        overrides=dict(search.overrides),
        data=data,
        command=command,
        updated=datetime.now(UTC).isoformat(timespec="seconds"),
        budget=budget,
        metric=search.metric(),
        extractor=complete[-1].user_attrs.get("extractor", "") if complete else "",
        trials=tuple(map(to_record, study.get_trials(deepcopy=False))),
        importance=importances(study),
        best=best.number if best else None,
        overlay=search.study.overlay(best.params) if best else {},
    )


def importances(study: optuna.Study) -> dict[str, float] | None:
    """PED-ANOVA importances, from the better trials versus all; None for too few or equal values."""
    values = [trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    if len(values) < ENOUGH or len(set(values)) == 1:
        return None
    return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
