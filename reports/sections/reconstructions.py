"""Originals and reconstructions of every row, for a table without its own galleries."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from markupsafe import Markup

from experiments.records import RowState, Run
from reports.html import Note, section
from reports.pictures import (
    MAX_IMAGES,
    Examples,
    Gallery,
    class_names,
    galleries,
    gallery,
    step_label,
    step_names,
)

ORDER, TITLE = 120, "Reconstructions"

OPEN = 4
"""Number of rows that are initially unfolded."""


def applies(run: Run) -> bool:
    """Whether a finished row has examples; pages about costs or with galleries do not show them."""
    return not run.experiment.costs and not run.experiment.galleries and bool(drawn(run))


def render(run: Run) -> Markup:
    """A gallery for each row."""
    seed = run.request.seeds[0]
    note = f"Seed {seed}. The same images in every row of the table; T is the number of decoding steps."
    return section(run, TITLE, Note(note), *drawn(run))


@lru_cache(maxsize=1)
def drawn(run: Run) -> list[Gallery]:
    """The galleries of the finished rows at the run's first seed."""
    found = galleries(run, "reconstruction", _draw)
    return [replace(each, open=number < OPEN) for number, each in enumerate(found)]


def _draw(state: RowState, label: str, examples: Examples) -> Gallery:
    original = examples["original"][:MAX_IMAGES]
    lines = [("original", original)]
    names = step_names(examples)
    if "teacher" in examples and "teacher" not in names:
        lines.append(("teacher", examples["teacher"][:MAX_IMAGES]))
    lines += [(step_label(name), examples[name][:MAX_IMAGES]) for name in names]
    return gallery(label, lines, class_names(examples, len(original)))
