"""`run`: plans an experiment, makes missing artifacts, tracks them and builds the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from experiments.commands.options import ExecutorOptions, PlanOptions, RunOptions
from experiments.commands.wiring import Wired

ALL = "all"
"""The name that stands for every experiment."""


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
    """Make all missing artifacts of the experiment.

    When started in several processes (torchrun), the first one runs the plan and the others join in training.
    """
    executor.check(plan.profile)
    registry = wiring.registry
    experiments = (
        list(registry.experiments().values()) if experiment == ALL else [registry.experiment(experiment)]
    )
    # Imported here, so that a wrong option or name is reported before torch is loaded.
    from experiments.commands.execution import Execution
    from experiments.commands.plans import plan_all

    if released is not None:
        from experiments.planning.released import all_released

        experiments = all_released(experiments, released)
        if not any(each.trained_rows for each in experiments):
            return 0 if how.dry_run else 1
    plans, data = plan_all(plan, experiments)
    return Execution(plans, data, how, executor, wiring).carry_out()
