"""What the top hands to the commands, so that `experiments` imports neither `reports` nor `ablations`."""

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
    """What was typed, where the specs are, and how pages are made."""

    argv: tuple[str, ...]
    registry: Registry
    build_report: Callable[[Path, Sequence[Run]], Path]
    """Writes the pages of a store and returns that of all tables."""
    build_evaluations: Callable[[Path], Path | None]
    """Writes the pages of what `evaluate` has measured in a store and returns the first, if there is any."""
    export: Callable[[pd.DataFrame, str], str]
    """A table of numbers as text: `csv` or `json`."""
    export_verdicts: Callable[[Sequence[Run], str], str]
    """The verdicts on the claims of some runs: `text`, `csv`, `json` or `markdown`."""


Wired = Annotated[Wiring, Parameter(parse=False)]
"""A command's parameter that the command line does not see."""
