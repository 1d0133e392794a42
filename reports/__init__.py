"""Turns stored results into HTML pages, figures, LaTeX and CSV, without training or importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from experiments.records import Run
from experiments.records.study_results import stored_studies


def build(store: Path, runs: Sequence[Run]) -> Path:
    """Write the report of `runs` to `store/report` and return the path of its `index.html`.

    `<table>.html`, `<table>.csv` and `<table>.tex` show the latest request of each table; if a table was
    run under several profiles, `<table>-<profile>.html` and its exports show each. The studies stored in
    `store` have pages `study-<name>-<profile>.html`, named after their folders. Every file is replaced
    atomically, and equal inputs give equal bytes.

    Args:
        store: root folder of the store.
        runs: runs in the store.
    """
    # Imported here, because Matplotlib takes a second; `reports.export` and `reports.verdicts` work without.
    from reports.pages import write_report

    build_evaluations(store)
    return write_report(store / "report", runs, stored_studies(store))


def build_evaluations(store: Path) -> Path | None:
    """Write `store/report/evaluate.html` with all evaluations; returns None if there are none."""
    from reports.evaluations import write_evaluations

    return write_evaluations(store / "report", store)
