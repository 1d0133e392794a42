"""Stored results to HTML pages, figures, LaTeX and CSV. Reads only: nothing here trains or imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.records import Run
from experiments.records.study_results import stored_studies


def build(store: Path, runs: Sequence[Run]) -> Path:
    """Write the report of `runs` below `store/report` and return the path of its `index.html`.

    `<table>.html`, `<table>.csv` and `<table>.tex` show the latest request of each table; if a table was
    run under several profiles, `<table>-<profile>.html` and its exports show each. The studies stored below
    `store` have pages `study-<name>-<profile>.html`, named after their folders. Every file is replaced
    atomically, and equal inputs give equal bytes.

    Args:
        store: its root.
        runs: of it.
    """
    # Matplotlib takes a second to import; `reports.export` and `reports.verdicts` need none of it.
    from reports.pages import write_report

    build_evaluations(store)
    return write_report(store / "report", runs, stored_studies(store))


def build_evaluations(store: Path) -> Path | None:
    """Write `store/report/evaluate.html`, of all that `evaluate` has measured; None if that is nothing."""
    from reports.evaluations import write_evaluations

    return write_evaluations(store / "report", store)
