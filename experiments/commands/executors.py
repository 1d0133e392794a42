"""How `run` carries a plan out: in this process, by local workers, or as cluster jobs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.arguments import DEFAULT_STORE
from experiments.artifacts import Artifact
from experiments.commands.wiring import Wiring
from experiments.executors import watch
from experiments.executors.datasets import DataSets
from experiments.executors.events import Listener
from experiments.executors.inline import Runner
from experiments.executors.resources import load_cluster
from experiments.executors.stop import Stop
from experiments.planning.requests import Request
from experiments.store import Store
from sftok.config import ConfigError
from sftok.distributed import SINGLE, World

if TYPE_CHECKING:
    from experiments.executors.slurm import Submitted
    from experiments.profiles.base import Profile


def check_options(options: argparse.Namespace) -> None:
    """Refuse options of another executor than the chosen one, and a cluster file with mistakes.

    Raises:
        ConfigError: names the option or the file's key.
    """
    if options.workers is not None and options.executor != "local":
        raise ConfigError("--workers is for --executor local")
    if options.cluster is not None and options.executor != "slurm":
        raise ConfigError("--cluster is for --executor slurm")
    if options.executor == "slurm":
        load_cluster(options.cluster, options.profile)


def at_once(options: argparse.Namespace, profile: Profile) -> int:
    """How many artifacts are made at the same time."""
    if options.executor != "local":
        return 1
    from experiments.executors.local import default_workers

    return options.workers or default_workers(profile.threads)


def run_here(
    options: argparse.Namespace,
    request: Request,
    store: Store,
    data: DataSets,
    listeners: list[Listener],
    stop: Stop,
    world: World = SINGLE,
) -> dict[Artifact, str]:
    """Make everything before returning; the reasons of what failed or was blocked.

    The processes of `world` help the inline executor; local workers are processes of their own.

    Raises:
        Interrupted: a signal asked to stop.
    """
    listeners = [watch.EndedJobs(store, request.plan.artifacts), *listeners]
    if options.executor == "local":
        from experiments.executors.local import run_locally

        workers = at_once(options, request.plan.profile)
        return run_locally(request, store, workers, listeners, stop)
    return Runner(store, data.load, listeners, stop, world=world).run(request.plan.artifacts)


def run_on_cluster(
    options: argparse.Namespace, requests: Sequence[Request], store: Store, wiring: Wiring
) -> int:
    """Queue what is missing and return; nothing is queued if Slurm would refuse any of it.

    Raises:
        ConfigError: the cluster file cannot be used.
        SlurmError: Slurm would refuse a job, or does not answer.
    """
    from experiments.executors import slurm
    from experiments.records.collect import table_runs

    cluster = load_cluster(options.cluster, options.profile)
    artifacts = [artifact for request in requests for artifact in request.plan.artifacts]
    slurm.check(artifacts, cluster, store.root / "submissions")
    # One after the other: what an earlier one has queued, a later one waits for.
    for request in requests:
        request.save(store)
        submitted = slurm.submit(request, store, cluster)
        print(describe(submitted, request.plan.experiment.name, options.store))
    wiring.build_report(store.root, table_runs(store))
    return 0


def describe(submitted: Submitted, experiment: str, store: Path) -> str:
    """What was queued, and what to type next."""
    where = experiment if store == DEFAULT_STORE else f"{experiment} --store {shlex.quote(str(store))}"
    lines = [
        f"  job {job.job}: {artifact.label} ({artifact.name})" for artifact, job in submitted.jobs.items()
    ]
    lines += [
        f"  job {job.job}, queued before: {artifact.label} ({artifact.name})"
        for artifact, job in submitted.in_flight.items()
    ]
    if not lines:
        return f"nothing to queue; take the results in with: python -m experiments collect {where}"
    count = f"{len(submitted.jobs)} jobs queued; this terminal may be closed"
    then = "; then: ".join(f"python -m experiments {command} {where}" for command in ("status", "collect"))
    return "\n".join([*lines, count, f"look with: {then}"])
