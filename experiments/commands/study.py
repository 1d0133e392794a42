"""`study`: searches for the best values; any number of processes may share the search."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from experiments.commands.options import StudyOptions
from experiments.commands.wiring import Wired


def study(
    study: Annotated[str, Parameter(help="a study from `list`, or a Python file of your own")],
    /,
    *,
    options: StudyOptions = StudyOptions(),
    wiring: Wired,
) -> int:
    """Run trials until all have ended; returns 1 if none of them produced a number."""
    found = wiring.registry.study(study)
    # Imported here, so that a wrong option or name is reported before torch and Optuna are loaded.
    from experiments.commands.search import carry_out

    return carry_out(found, options, wiring)
