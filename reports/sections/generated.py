"""Unselected generated images by class (Table 2)."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from markupsafe import Markup

from experiments.records import RowState, Run
from reports.html import Note, section
from reports.pictures import Examples, Gallery, galleries, gallery
from reports.sections.guidance import sampling_of

ORDER, TITLE = 130, "Generated images"


def applies(run: Run) -> bool:
    """Whether a finished row has generated images."""
    return bool(drawn(run))


def render(run: Run) -> Markup:
    """A gallery for each row, with a line for each class."""
    return section(run, TITLE, Note("The first samples of each class, one line per class."), *drawn(run))


@lru_cache(maxsize=1)
def drawn(run: Run) -> list[Gallery]:
    """The samples of every finished row with a generator, at the run's first seed."""

    def draw(state: RowState, label: str, examples: Examples) -> Gallery:
        samples = (name for name in examples if re.fullmatch(r"S\d+", name))
        # Each array has one sample per class; each strip is one class.
        arrays = [examples[name] for name in sorted(samples, key=lambda name: int(name[1:]))]
        by_class = np.stack(arrays, axis=1)
        names = [str(examples["class_names"][label]) for label in examples["labels"]]
        return gallery(label, list(zip(names, by_class, strict=True)), words=_words(run, state))

    return list(galleries(run, "generation", draw))


def _words(run: Run, state: RowState) -> str:
    words = [f"Training seed {state.seed}"]
    result = run.results.get(state.evaluation.name)
    if result is not None and "seed" in (result.model_extra or {}):
        words.append(f"sampling seed {result.model_extra['seed']}")  # type: ignore[index]
    if (sampling := sampling_of(run, state)) is not None:
        words.append(sampling.chosen.words)
    return ", ".join(words)
