"""Generated images by class, from the examples of an evaluation of generation."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from experiments.records.results import RowRun, TableRun
from reports.guidance import sampling_words
from reports.strips import UNREADABLE, Strip, StripSet, data_uri, read_examples, strip_width, unreadable
from reports.tables import row_label


def generated_images(run: TableRun) -> list[StripSet]:
    """The samples of every row that generates, at the run's first seed: a strip a class."""
    found = []
    for row in run.rows:
        folder = row.evaluation.folder
        generates = run.experiment.row(row.row).measures == "generation"
        if generates and row.seed == run.seeds[0] and row.status == "done" and folder:
            found.append(_samples(row_label(run, row.row), row, folder))
    return found


def _samples(label: str, row: RowRun, folder: Path) -> StripSet:
    try:
        arrays = read_examples(folder)
        samples = sorted(
            (name for name in arrays if re.fullmatch(r"S\d+", name)), key=lambda name: int(name[1:])
        )
        # A line of the file has one sample of each class; a strip is a class.
        by_class = np.stack([arrays[name] for name in samples], axis=1)
        names = [str(arrays["class_names"][label]) for label in arrays["labels"]]
        width, pixelated = strip_width(by_class[0])
        count = by_class.shape[1]
        strips = tuple(
            Strip(name, data_uri(images), f"{label}, {name}: {count} generated images", count * width)
            for name, images in zip(names, by_class, strict=True)
        )
    except UNREADABLE as error:
        return unreadable(label, error)
    words = f"Training seed {row.seed}"
    if row.sampling is not None:
        words += f", sampling seed {row.sampling.seed}; {sampling_words(row.sampling.chosen)}"
    return StripSet(label, strips, (), count * width, pixelated, words)
