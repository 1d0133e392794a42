"""From options to stored requests: shared by the commands that look at what was asked for."""

from __future__ import annotations

import argparse
import errno
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.arguments import DEFAULT_STORE
from experiments.artifacts import Artifact
from experiments.commands.wiring import Wiring
from experiments.executors.queue import SlurmError
from experiments.executors.watch import refresh
from experiments.planning.requests import Request, stored_requests
from experiments.registry import discover, pick
from experiments.store import CANNOT_WRITE, Store, StoreError


def chosen_requests(options: argparse.Namespace, wiring: Wiring, store: Store) -> list[Request]:
    """The stored requests of the experiment that the options name, or all; the latest first.

    Raises:
        StoreError: there is none.
    """
    requests, name = stored_requests(store), None
    if options.experiment is not None:
        name = known_name(options.experiment, wiring, requests)
        requests = [request for request in requests if request.plan.experiment.name == name]
    if not requests:
        raise not_run(options, name)
    return requests


def not_run(options: argparse.Namespace, name: str | None, profiles: Sequence[str] = ()) -> StoreError:
    """Says that an experiment was not run in the store, or nothing was, and what to type.

    Args:
        options: `store`, and `profile` where the command takes one.
        name: the experiment's.
        profiles: at which it was run, if not at the one asked for.
    """
    profile = getattr(options, "profile", None)
    what = f"{name} was not run here" if name else "nothing was run here"
    where = f"store {Path(options.store).absolute()}: {what}" + (f" at profile {profile}" if profile else "")
    if profiles:
        return StoreError(f"{where}, but at {', '.join(dict.fromkeys(profiles))}")
    line = ["python", "-m", "experiments", "run", name or "table4"]
    line += ["--profile", profile] if profile else []
    line += ["--store", str(options.store)] if options.store != DEFAULT_STORE else []
    return StoreError(f"{where}; try another --store, or: {shlex.join(line)}")


def known_name(name: str, wiring: Wiring, requests: Iterable[Request]) -> str:
    """`name`, if it is an experiment's or that of a stored request (a sweep).

    Raises:
        ConfigError: it is neither; the message lists the choices.
    """
    stored = {request.plan.experiment.name: request.plan.experiment for request in requests}
    return pick(stored | discover(wiring.spec_packages), name).name


def refresh_all(store: Store, artifacts: Iterable[Artifact]) -> None:
    """Bring the store up to what Slurm knows of the artifacts' jobs; says so if that cannot be done."""
    try:
        refresh(store, dict.fromkeys(artifacts))
    except SlurmError as error:
        print(f"Slurm does not answer ({error}); shown is what the store knows", file=sys.stderr)
    except OSError as error:
        # Somebody else's store may be looked at, too.
        if error.errno not in (*CANNOT_WRITE, errno.EPERM):
            raise
        print(f"cannot write to {store.root} ({error.strerror}); shown is what it knows", file=sys.stderr)
