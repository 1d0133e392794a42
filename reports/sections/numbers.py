"""Every number of the run."""

from __future__ import annotations

from markupsafe import Markup

from experiments.records import Run
from experiments.records.frame import coordinates, plain
from reports.html import Charts, Fold, Note, Part, section
from reports.sections.curves import drawn
from reports.tables import Table, pivot

ORDER, TITLE = 160, "All numbers"

SHOWN_ELSEWHERE = ("step", "visible", "distortion")
"""Coordinates whose numbers have their own sections."""


def applies(run: Run) -> bool:
    """Always True: every page has the section."""
    return True


def render(run: Run) -> Markup:
    """Charts of the metrics that no other section shows, and tables of all numbers."""
    parts: list[Part] = []
    if not run.experiment.costs and (charts := drawn(run, of_features=False)):
        parts.append(Charts(tuple(charts)))
    parts += tables(run) or [Note("No number yet.", "")]
    return section(run, TITLE, Fold("Every metric at every number of steps", tuple(parts)))


def tables(run: Run) -> list[Table]:
    """A table over T, and one for each other coordinate, such as the class."""
    found = []
    measured = plain(run.frame)
    if len(measured):
        caption = "Mean ± half the width of the 95 % interval over seeds, by decoding steps T."
        found.append(pivot(run, measured, "steps", "T={}", caption))
    rest = run.frame.drop(measured.index)
    for name in coordinates(run.frame):
        if name in rest and rest[name].notna().any() and name not in ("steps", "temperature"):
            here = rest[rest[name].notna()]
            rest = rest.drop(here.index)
            if name not in SHOWN_ELSEWHERE:
                caption = f"Mean ± half the width of the 95 % interval over seeds, by {name}."
                found.append(pivot(run, here, name, name + " {}", caption))
    return found
