"""`study`: a search for the best values, shared by as many processes as are started."""

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
    """Do trials until all are over; the exit code is 1 if none of them gave a number."""
    found = wiring.registry.study(study)
    # Imported here: a wrong option or name is answered before torch and Optuna are loaded.
    from experiments.commands.search import carry_out

    return carry_out(found, options, wiring)
