"""`status`: every artifact of the stored requests as it stands."""

from __future__ import annotations

import argparse
import json
from typing import Any

from experiments.collect import table_runs
from experiments.commands.wiring import Wiring
from experiments.costs import readable
from experiments.registry import discover, pick
from experiments.results import ArtifactState, TableRun
from experiments.store import Store, StoreError


def status(options: argparse.Namespace, argv: list[str], wiring: Wiring) -> int:
    """Print the state of one experiment, or of all that were asked for in this store."""
    runs = table_runs(Store(options.store))
    if options.experiment is not None:
        name = pick(discover(wiring.spec_packages), options.experiment).name
        runs = [run for run in runs if run.experiment.name == name]
    if not runs:
        raise StoreError(
            f"store {options.store}: nothing was run here; try: python -m experiments run table4"
        )
    if options.format == "json":
        fields: Any = {"experiment": {"name"}} | dict.fromkeys(
            ("profile", "seeds", "complete", "artifacts"), True
        )
        print(json.dumps([run.model_dump(mode="json", include=fields) for run in runs], indent=1))
    else:
        print("\n\n".join(_describe(run) for run in runs))
    return 0


def _describe(run: TableRun) -> str:
    done = sum(artifact.status == "done" for artifact in run.artifacts)
    seeds = ", ".join(map(str, run.seeds))
    head = f"{run.experiment.name}, profile {run.profile}, seeds {seeds}"
    lines = [f"{head}: {done} of {len(run.artifacts)} artifacts done"]
    lines += [f"  {_line(artifact)}" for artifact in run.artifacts]
    return "\n".join(lines)


def _line(artifact: ArtifactState) -> str:
    detail = ""
    if artifact.status == "running" and artifact.progress is not None:
        detail = f" {100 * artifact.progress:.0f} %, {readable(artifact.remaining_seconds)} left"
    elif artifact.status == "failed":
        detail = f" {artifact.error}"
    elif artifact.status == "done":
        detail = f" in {readable(artifact.seconds)}"
    shared = f" (shared by {artifact.shared_by})" if artifact.shared_by > 1 else ""
    return f"{artifact.status:<8} {artifact.kind}-{artifact.key}  {artifact.label}{shared}{detail}"
