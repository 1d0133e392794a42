"""The interface through which the entry point gives commands access to reports and specs.

Thus `experiments` imports neither `reports` nor `ablations`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from experiments.specs.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from experiments.records import Run


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The command line, the registry of specs, and the functions that write pages."""

    argv: tuple[str, ...]
    registry: Registry
    build_report: Callable[[Path, Sequence[Run]], Path]
    """Writes the pages of a store and returns the path of the index."""
    build_evaluations: Callable[[Path], Path | None]
    """Writes the pages of a store's evaluations by `evaluate` and returns the first page, if any."""
    export: Callable[[pd.DataFrame, str], str]
    """Formats a table of numbers as `csv` or `json`."""
    export_verdicts: Callable[[Sequence[Run], str], str]
    """Formats the verdicts on the claims of runs as `text`, `csv`, `json` or `markdown`."""


Wired = Annotated[Wiring, Parameter(parse=False)]
"""A parameter of a command that is not part of the command line."""
