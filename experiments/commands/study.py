"""`study`: a search for the best values, shared by as many processes as are started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.commands.options import (
    DEFAULT_STORE,
    ClusterFile,
    Positive,
    StorePath,
    ValueOptions,
    read_positive,
    text_of,
)
from experiments.commands.wiring import Wired


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions(ValueOptions):
    """How a study is carried out."""

    trials: Annotated[Positive, Parameter(help="how many in all (default: what the study says)")] = None
    workers: Annotated[
        int,
        text_of(read_positive, metavar="N", allow_repeating=True, help="processes, or jobs, at once"),
    ] = 1
    executor: Annotated[
        Literal["inline", "slurm"],
        Parameter(help="here, or as jobs of a cluster that share the study"),
    ] = "inline"
    cluster: ClusterFile = None
    store: StorePath = DEFAULT_STORE


def study(
    study: Annotated[str, Parameter(help="a study that `list` prints, or a Python file of your own")],
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
