"""Several plans as one: every artifact of `run all` once, whichever tables and figures need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from experiments.artifacts import Artifact
from experiments.planning.plan import Plan
from experiments.planning.rows import PlannedRow
from experiments.spec import Experiment, Row

ALL = "all"
"""The name under which every experiment is meant."""


def combined(plans: Sequence[Plan]) -> Plan:
    """The union of plans of one profile, seeds and overrides; its rows are named `table1.sftok-b`."""
    artifacts: dict[Artifact, None] = {}
    for plan in plans:
        artifacts |= dict.fromkeys(plan.artifacts)
    experiment = Experiment(
        name=ALL,
        kind="table",
        title="All tables, figures and ablations",
        source=", ".join(plan.experiment.name for plan in plans),
        description="Everything in one plan, so that what several of them need is made once.",
        rows=tuple(_renamed(plan.experiment, row) for plan in plans for row in plan.experiment.trained_rows),
    )
    return replace(
        plans[0],
        experiment=experiment,
        artifacts=tuple(artifacts),
        rows=tuple(_placed(plan.experiment, row) for plan in plans for row in plan.rows),
        reference=next((plan.reference for plan in plans if plan.reference is not None), None),
    )


def _renamed(experiment: Experiment, row: Row) -> Row:
    own = {"name": _name(experiment, row.name), "label": f"{experiment.name}: {row.label}"}
    return row.model_copy(update=own)


def _placed(experiment: Experiment, row: PlannedRow) -> PlannedRow:
    return replace(row, row=_name(experiment, row.row))


def _name(experiment: Experiment, row: str) -> str:
    return f"{experiment.name}.{row}"
