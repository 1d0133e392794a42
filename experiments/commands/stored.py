"""Finds stored requests from options, for all commands that read them."""

from __future__ import annotations

import glob
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from experiments.commands.options import DEFAULT_STORE
from experiments.requests import StoredRequest, stored_requests
from experiments.specs.registry import Registry, pick
from experiments.store import CANNOT_WRITE, DENIED, Store, StoredArtifact, StoreError

if TYPE_CHECKING:
    from experiments.records import Run

KnownExperiment = Annotated[
    str, Parameter(help="an experiment from `list`, a sweep, or the Python file that you ran")
]


class Chosen(list[StoredRequest]):
    """Stored requests, latest first; `unreadable` are matching files that cannot be read."""

    unreadable: tuple[Path, ...] = ()


def chosen_requests(
    store: Store, registry: Registry, experiment: str | None = None, profile: str | None = None
) -> Chosen:
    """The stored requests of an experiment (default: all) at a profile (default: any).

    Raises:
        ConfigError: the experiment is unknown.
        StoreError: it was not run here, or all of its requests are damaged.
    """
    requests = found = stored_requests(store.root)
    if experiment is not None and experiment.endswith(".py"):
        path = str(Path(experiment).absolute())
        found = [each for each in requests if each.source.get("path") == path and not each.experiment.swept]
    elif experiment is not None:
        known = {request.name: request.experiment for request in requests} | registry.experiments()
        found = [each for each in requests if each.name == pick(known, experiment, "experiment").name]
    chosen = Chosen(each for each in found if profile in (None, each.profile))
    readable = {f"{each.name}.{each.profile}.json" for each in requests}
    name = "*" if experiment is None else glob.escape(found[0].name if found else Path(experiment).name)
    files = sorted((store.root / "requests").glob(f"{name}.{profile or '*'}.json"))
    chosen.unreadable = tuple(file for file in files if file.name not in readable)
    if chosen.unreadable and not chosen:
        raise StoreError(f"{chosen.unreadable[0]}: cannot be read; delete it and run the command again")
    if not chosen:
        raise not_run(store, experiment, profile, [each.profile for each in found])
    return chosen


def not_run(
    store: Store, experiment: str | None, profile: str | None = None, profiles: Sequence[str] = ()
) -> StoreError:
    """The error that an experiment (or any) was not run in the store, with the command that runs it.

    `profiles` are the other profiles at which it was run.
    """
    if profiles:
        what = f"{experiment} was" if experiment else "experiments were"
        return StoreError(f"store {store.root}: {what} run here only at {', '.join(dict.fromkeys(profiles))}")
    what = f"{experiment} was not run here" if experiment else "nothing was run here"
    where = f"store {store.root}: {what}" + (f" at profile {profile}" if profile else "")
    line = ["python", "-m", "experiments", "run", experiment or "table4"]
    line += ["--profile", profile] if profile else []
    line += ["--store", str(store.root)] if store.root != DEFAULT_STORE.absolute() else []
    return StoreError(f"{where}; try another --store, or: {shlex.join(line)}")


def concluded(runs: Iterable[Run], unreadable: Sequence[Path] = ()) -> int:
    """Print the failed artifacts of `runs`; returns 1 if there are any, or if a request is unreadable."""
    failed = {
        artifact.name: artifact for run in runs for artifact in run.artifacts if artifact.status == "failed"
    }
    for artifact in failed.values():
        print(f"failed: {artifact.label} ({artifact.name}): {artifact.error}", file=sys.stderr)
    return 1 if failed or unreadable else 0


def refresh_all(store: Store, artifacts: Iterable[StoredArtifact]) -> None:
    """Update the store with the state of the artifacts' Slurm jobs; prints a line if that is impossible."""
    from experiments.executors.queue import SlurmError
    from experiments.executors.watch import refresh

    try:
        refresh(store, dict.fromkeys(artifacts))
    except SlurmError as error:
        print(f"Slurm does not answer ({error}); showing what the store knows", file=sys.stderr)
    except OSError as error:
        # The store may belong to another user.
        if error.errno not in (*CANNOT_WRITE, *DENIED):
            raise
        print(f"cannot write to {store.root} ({error.strerror}); showing what it knows", file=sys.stderr)
