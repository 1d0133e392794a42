"""Generated images by class, from the `examples.npz` of an evaluation of generation."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.results import RowRun, TableRun
from reports.guidance import sampling_words
from reports.strips import LOSSLESS_UP_TO, MAX_WIDTH, data_uri
from reports.tables import row_label


@dataclass(frozen=True)
class GalleryLine:
    """Several samples of one class, side by side."""

    name: str
    """Of the class."""
    uri: str
    alternative: str


@dataclass(frozen=True)
class Gallery:
    """The samples of one row of the table."""

    label: str
    words: str
    """How they were sampled, seeds included."""
    lines: tuple[GalleryLine, ...]
    width: int
    """Display width of a line in CSS pixels; of small images, a whole multiple of their own."""
    pixelated: bool
    problem: str = ""
    """Why there are no samples, if the file cannot be read."""


def generated_images(run: TableRun) -> list[Gallery]:
    """The gallery of every row that generates, at the run's first seed, once it is measured."""
    found = []
    for row in run.rows:
        folder = row.evaluation.folder
        generates = run.experiment.row(row.row).measures == "generation"
        if generates and row.seed == run.seeds[0] and row.status == "done" and folder:
            found.append(_gallery(row_label(run, row.row), row, folder / "examples.npz"))
    return found


def _gallery(label: str, row: RowRun, path: Path) -> Gallery:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        samples = sorted(
            (name for name in arrays if re.fullmatch(r"S\d+", name)), key=lambda name: int(name[1:])
        )
        # A line of the file has one sample of each class; a line of the gallery is a class.
        by_class = np.stack([arrays[name] for name in samples], axis=1)
        names = [str(arrays["class_names"][label]) for label in arrays["labels"]]
        lines = tuple(
            GalleryLine(name, data_uri(images), f"{label}, {name}: {len(images)} generated images")
            for name, images in zip(names, by_class, strict=True)
        )
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        return Gallery(label, "", (), 0, False, problem=f"examples.npz cannot be read: {error}")
    count, _, height, width = by_class.shape[1:]
    small = height <= LOSSLESS_UP_TO
    shown_width = width * (64 // height) if small else min(width, MAX_WIDTH)
    words = f"Training seed {row.seed}"
    if row.sampling is not None:
        words += f", sampling seed {row.sampling.seed}; {sampling_words(row.sampling.chosen)}"
    return Gallery(label, words, lines, count * shown_width, pixelated=small)
