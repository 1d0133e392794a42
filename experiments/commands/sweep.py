"""`sweep`: runs an experiment over a grid or a list of configuration values from the command line."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from experiments.commands.options import (
    ExecutorOptions,
    PlanOptions,
    RunOptions,
    read_assignment,
    read_value,
    text_of,
)
from experiments.commands.wiring import Wired


def read_grid(text: str) -> tuple[str, list[Any]]:
    """Parse `stage1.steps=300,600` into the key and its values, which must be distinct."""
    key, equals, values = text.partition("=")
    parts = _split(values)
    if not equals or not key.strip() or not all(parts):
        raise ValueError(f"{text!r}: write KEY=A,B,..., e.g. stage2.context.replacement_ratio=0,0.5,1")
    _refuse_repeated(text, parts)
    return key.strip(), [read_value(part) for part in parts]


def read_combination(text: str) -> dict[str, Any]:
    """Parse `stage1.steps=500,tokenizer_steps=4000` into values by key."""
    pairs = [read_assignment(part) for part in _split(text)]
    _refuse_repeated(text, [key for key, _ in pairs])
    return dict(pairs)


def sweep(
    experiment: Annotated[str, Parameter(help="an experiment from `list`, or a Python file of your own")],
    /,
    *,
    grid: Annotated[
        tuple[tuple[str, list[Any]], ...],
        text_of(
            read_grid,
            repeatable=True,
            metavar="KEY=A,B,...",
            help="values of a configuration key; several --grid options form all combinations",
        ),
    ] = (),
    listed: Annotated[
        tuple[dict[str, Any], ...],
        text_of(
            read_combination,
            repeatable=True,
            name="--list",
            metavar="KEY=A,KEY2=B",
            help="one combination of values; may be repeated. With --grid, each is combined with the "
            "whole grid",
        ),
    ] = (),
    plan: PlanOptions = PlanOptions(),
    how: RunOptions = RunOptions(),
    executor: ExecutorOptions = ExecutorOptions(),
    wiring: Wired,
) -> int:
    """Make the artifacts of all combinations; the request is stored under the sweep's own name."""
    from experiments.specs.sweep import combinations, swept_experiment

    executor.check(plan.profile)
    swept = swept_experiment(wiring.registry.experiment(experiment), combinations(grid, listed))
    # Imported here, so that a wrong option or name is reported before torch is loaded.
    from experiments.commands.execution import Execution
    from experiments.commands.plans import plan_all
    from experiments.planning.plan import refuse_incomparable

    plans, data = plan_all(plan, [swept], check=refuse_incomparable)
    print(f"{swept.name}: {len(swept.rows)} rows; use this name with status, results, retry, ...")
    return Execution(plans, data, how, executor, wiring).carry_out()


def _refuse_repeated(text: str, parts: list[str]) -> None:
    if repeated := [part for part in parts if parts.count(part) > 1]:
        raise ValueError(f"{text!r}: {repeated[0]} is given twice")


def _split(text: str) -> list[str]:
    """Split `text` at its commas, except within brackets, braces and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else (character in "[{") - (character in "]}")
        if character == "," and not quoted and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
