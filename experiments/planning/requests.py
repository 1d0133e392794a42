"""What was asked for: a plan on disk, with the command and the data, for everybody who comes later.

A report, a `status` in another terminal and a cluster job all read the same file: none of them plans again.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.artifacts import artifacts_from_json, artifacts_to_json
from experiments.planning.plan import Plan
from experiments.planning.rows import PlannedRow
from experiments.profiles.base import Profile
from experiments.recipe import Recipe
from experiments.spec import Experiment
from experiments.store import Store, StoreError, read_json, write_json
from sftok.config import ConfigError

log = logging.getLogger(__name__)


class Request:
    """A plan, and how it came about."""

    def __init__(self, plan: Plan, command: str, data: str, requested: str):
        self.plan = plan
        self.command = command
        """The line that a person can type again."""
        self.data = data
        """The data set, for people."""
        self.requested = requested

    def save(self, store: Store) -> Path:
        """Write the request; it replaces an earlier one for the same experiment and profile."""
        path = store.root / "requests" / f"{self.plan.experiment.name}.{self.plan.profile.name}.json"
        self.write(path)
        return path

    def write(self, path: Path) -> None:
        """Write the request to `path`, for `load`."""
        write_json(
            path,
            {
                "command": self.command,
                "data": self.data,
                "requested": self.requested,
                "plan": _plan_to_json(self.plan),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Request:
        """The request that `save` wrote.

        Raises:
            StoreError: the file is damaged, or another version of this package wrote it.
            FileNotFoundError: there is none.
        """
        content = read_json(path)
        if content is None:
            raise FileNotFoundError(path)
        try:
            plan = _plan_from_json(content["plan"])
            return cls(plan, content["command"], content["data"], content["requested"])
        except (ConfigError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: another version of this package wrote it ({error}); use that version, or delete "
                "the file and ask again: what is finished stays"
            ) from None


def command_line(arguments: list[str]) -> str:
    """The line that a person can type again."""
    return shlex.join(["python", "-m", "experiments", *arguments])


def new_request(plan: Plan, arguments: list[str], data: str) -> Request:
    """A request made now by `python -m experiments` with `arguments`."""
    return Request(plan, command_line(arguments), data, datetime.now(UTC).isoformat(timespec="seconds"))


def stored_requests(store: Store) -> list[Request]:
    """All requests of a store, the latest first; a line says which of them cannot be read."""
    requests = []
    for path in sorted((store.root / "requests").glob("*.json")):
        try:
            requests.append(Request.load(path))
        except StoreError as error:
            log.warning("left out: %s", error)
    return sorted(requests, key=lambda request: request.requested, reverse=True)


def _plan_to_json(plan: Plan) -> dict[str, Any]:
    return {
        "experiment": plan.experiment.model_dump(mode="json"),
        "profile": plan.profile.model_dump(mode="json"),
        "seeds": list(plan.seeds),
        "overrides": dict(plan.overrides),
        "recipe": plan.recipe.model_dump(mode="json"),
        "artifacts": artifacts_to_json(plan.artifacts),
        "rows": [
            {
                "row": row.row,
                "seed": row.seed,
                "training": [artifact.name for artifact in row.training],
                "evaluation": row.evaluation.name,
                "analyses": [artifact.name for artifact in row.analyses],
            }
            for row in plan.rows
        ],
        "reference": plan.reference.name if plan.reference else None,
    }


def _plan_from_json(content: Mapping[str, Any]) -> Plan:
    artifacts = artifacts_from_json(content["artifacts"])
    return Plan(
        experiment=Experiment.build(content["experiment"]),
        profile=Profile.build(content["profile"]),
        seeds=tuple(content["seeds"]),
        overrides=content["overrides"],
        recipe=Recipe.build(content["recipe"]),
        artifacts=tuple(artifacts.values()),
        rows=tuple(
            PlannedRow(
                row=row["row"],
                seed=row["seed"],
                training=tuple(artifacts[name] for name in row["training"]),
                evaluation=artifacts[row["evaluation"]],
                # Not in requests that were written before there were any.
                analyses=tuple(artifacts[name] for name in row.get("analyses", ())),
            )
            for row in content["rows"]
        ),
        reference=artifacts[content["reference"]] if content["reference"] else None,
    )
