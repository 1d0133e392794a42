"""`run`: plan, make what is missing, track it and report it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from experiments.commands.options import ExecutorOptions, PlanOptions, RunOptions
from experiments.commands.wiring import Wired

ALL = "all"
"""The name under which every experiment is meant."""


def run(
    experiment: Annotated[
        str, Parameter(help="an experiment from `list`, a Python file of your own, or `all`")
    ],
    /,
    *,
    released: Annotated[
        Path | None,
        Parameter(
            metavar="DIR",
            help="measure the rows whose released weights are in DIR/ROW/, and train none; "
            "with --dry-run, list what belongs there",
        ),
    ] = None,
    plan: PlanOptions = PlanOptions(),
    how: RunOptions = RunOptions(),
    executor: ExecutorOptions = ExecutorOptions(),
    wiring: Wired,
) -> int:
    """Make everything that the experiment needs and that is not there yet.

    Started in several processes (torchrun), the first does so and the others help it to train.
    """
    executor.check(plan.profile)
    registry = wiring.registry
    experiments = (
        list(registry.experiments().values()) if experiment == ALL else [registry.experiment(experiment)]
    )
    # Imported here: a wrong option or name is answered before torch is loaded.
    from experiments.commands.execution import Execution
    from experiments.commands.plans import plan_all

    if released is not None:
        from experiments.planning.released import all_released

        experiments = all_released(experiments, released)
        if not any(each.trained_rows for each in experiments):
            return 0 if how.dry_run else 1
    plans, data = plan_all(plan, experiments)
    return Execution(plans, data, how, executor, wiring).carry_out()
