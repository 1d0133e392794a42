"""Carries out a study: runs trials in this process and in further ones, or in cluster jobs."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.trial import Trial
from rich.console import Console

from experiments.artifacts.teacher import given_weights
from experiments.commands.options import StudyOptions
from experiments.commands.plans import STAND_INS, chosen_overlay, data_overlay, require_images
from experiments.commands.progress import ConsoleProgress
from experiments.commands.wiring import Wiring
from experiments.executors.datasets import DataSets
from experiments.executors.events import Listener
from experiments.executors.process import prepare_torch
from experiments.executors.resources import Cluster, load_cluster
from experiments.planning.costs import estimate
from experiments.planning.needed_weights import require_weights
from experiments.planning.plan import Plan
from experiments.planning.requests import command_line
from experiments.profiles import PROFILES
from experiments.recipe import resolve
from experiments.records import load_runs
from experiments.records.study_results import StudyRun, folder_name
from experiments.specs import Study
from experiments.store import Store
from experiments.studies.journal import Journal
from experiments.studies.search import SPLIT, Search
from experiments.studies.work import Worker
from experiments.studies.workers import copy_of, further_workers, new_stop
from experiments.studies.writing import write_record
from sftok.config import ConfigError
from sftok.device import require_device

log = logging.getLogger(__name__)


def carry_out(found: Study, options: StudyOptions, wiring: Wiring) -> int:
    """Run trials until all have ended; returns 1 if none of them produced a number."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    base = wiring.registry.experiment(found.experiment)
    if found.row not in [row.name for row in base.trained_rows]:
        raise ConfigError(f"study {found.name}: {base.name} trains no row {found.row!r}")
    profile, overrides = PROFILES[options.profile], chosen_overlay(options)

    def searched(fingerprints: dict[str, str]) -> Search:
        return Search(
            study=found,
            experiment=base,
            profile=profile,
            overrides=overrides,
            fingerprints=fingerprints,
            source=wiring.registry.source,
        )

    # Wrong values are found before the data is read.
    searched(STAND_INS).check()
    recipe = resolve(profile.overlay, overrides)
    cluster = _cluster(options)
    if cluster is None:
        require_device(recipe.device)
    data = DataSets(recipe.data)
    weights = given_weights(recipe)
    search = searched({**data.fingerprints(SPLIT), **weights})
    require_weights(search.example().artifacts)
    require_images(search.example().artifacts, data)
    store = Store(options.store)
    store.prepare()
    prepare_torch(profile.threads)
    identity = search.identity()
    folder = store.root / "studies" / folder_name(found.name, profile.name, identity, overrides)
    journal = Journal(found, identity, folder, store.root / "locks")
    budget = options.trials or found.trials
    print(f"{found.name}: {len(journal.trials())} of {budget} trials already started; {data.describe(SPLIT)}")
    named = _named(options, search)
    write = _writer(wiring, search, journal, store, folder, data.describe(SPLIT), budget, named)
    write()
    if cluster is not None:
        # Imported here, so that other uses do not wait for submitit.
        from experiments.executors.study_job import submit_workers

        named_by = str(copy_of(search.source, folder)) if search.source else found.name
        line = ["study", named_by, "--profile", profile.name, "--trials", str(budget), *named]
        for job, log_file in submit_workers(line, options.workers, store, folder, cluster, profile.threads):
            print(f"job {job} prints to {log_file}")
        print(
            f"{options.workers} jobs queued; you can close this terminal; "
            "run the command without --executor to add a worker here"
        )
        return 0
    stop = new_stop()
    command = ["-m", "experiments", *wiring.argv, "--workers", "1"]
    with (
        further_workers(options.workers - 1, command, folder) as others,
        contextlib.closing(Shown(store)) as shown,
    ):
        for worker in others:
            print(f"{worker.log.stem.replace('-', ' ')} prints to {worker.log}")
        Worker(
            search=search, journal=journal, store=store, data=data, stop=stop, listeners=shown.listeners
        ).work(budget, after_trial=write)
    record = write()
    for worker in others:
        if worker.died(no_value=record.best is None):
            code = worker.process.returncode
            print(f"a worker failed with exit code {code}; see {worker.log}", file=sys.stderr)
    return _conclude(record, store)


class Shown:
    """Shows one trial at a time, because a pruned or stopped trial leaves its progress bars unfinished."""

    def __init__(self, store: Store):
        self._store = store
        self._console = Console(stderr=False)
        self._latest: ConsoleProgress | None = None

    def listeners(self, trial: Trial, planned: Plan) -> list[Listener]:
        """Remove the bars of the previous trial, and print which one starts."""
        self.close()
        values = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial.params.items()
        )
        self._console.print(f"trial {trial.number}: {values}", markup=False, highlight=False, soft_wrap=True)
        costs = estimate(planned.artifacts, self._store, planned.profile.seconds_per_step)
        self._latest = ConsoleProgress(planned.artifacts, self._console, costs)
        return [self._latest]

    def close(self) -> None:
        """Remove the progress bars."""
        if self._latest is not None:
            self._latest.close()


def _cluster(options: StudyOptions) -> Cluster | None:
    """The resources of a study's jobs; None if the study runs on this machine."""
    if options.executor == "slurm":
        return load_cluster(options.cluster, options.profile)
    if options.cluster is not None:
        raise ConfigError("--cluster is for --executor slurm")
    return None


def _named(options: StudyOptions, search: Search) -> list[str]:
    """Store, data and values as command-line options, for another process of the same study."""
    named = ["--store", str(options.store)]
    own = dict(search.overrides)
    if options.data is not None:
        named += ["--data", str(options.data)]
        own = {key: value for key, value in own.items() if key not in data_overlay(options.data)}
    for key, value in own.items():
        named += ["--set", f"{key}={json.dumps(value)}"]
    return named


def _writer(
    wiring: Wiring,
    search: Search,
    journal: Journal,
    store: Store,
    folder: Path,
    data: str,
    budget: int,
    named: list[str],
) -> Callable[[], StudyRun]:
    def write() -> StudyRun:
        record = write_record(search, journal, folder, budget, data, command_line(wiring.argv), named)
        try:
            wiring.build_report(store.root, load_runs(store))
        except Exception:
            log.exception("the report could not be built now; the study continues")
        return record

    return write


def _conclude(record: StudyRun, store: Store) -> int:
    states = [trial.state for trial in record.trials]
    counts = ", ".join(
        f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed") if state in states
    )
    print(f"{record.study.name}: {len(states)} trials, {counts}")
    for trial in record.trials:
        if trial.state == "failed":
            print(f"failed: trial {trial.number}: {trial.reason}", file=sys.stderr)
    print(f"report: {store.root / 'report' / f'study-{record.name}.html'}")
    if record.best is None:
        return 1
    objective = record.study.objective
    value = next(trial.value for trial in record.trials if trial.number == record.best)
    print(f"best: trial {record.best}, {objective.metric} {value:.4g} at T={objective.steps}; to run it:")
    print(f"  {record.best_command}")
    return 0
