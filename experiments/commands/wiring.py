"""What the top hands to the commands, so that `experiments` imports neither `reports` nor `ablations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.records.results import ResultRow, TableRun


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """Where specs live, and how results are shown."""

    spec_packages: tuple[str, ...]
    build_report: Callable[[Path, Sequence[TableRun]], Path]
    exporters: Mapping[str, Callable[[Sequence[ResultRow]], str]]
    verdict_exporters: Mapping[str, Callable[[Sequence[TableRun]], str]]
