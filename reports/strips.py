"""Originals and reconstructions as image strips, from the `examples.npz` of an evaluation."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.records.results import TableRun
from experiments.store import EXAMPLES
from reports.tables import row_label
from sftok.arrays import read_arrays

MAX_IMAGES = 10
MAX_WIDTH = 128
"""Display width of a large image in CSS pixels."""

LOSSLESS_UP_TO = 64
"""Images up to this height are shown pixel by pixel; larger ones as JPEG at their own size."""


@dataclass(frozen=True)
class Strip:
    """One horizontal strip."""

    name: str
    uri: str
    alternative: str
    width: int
    """Display width in CSS pixels; of small images, a whole multiple of their own."""


@dataclass(frozen=True)
class StripSet:
    """The strips of one row of the table."""

    label: str
    strips: tuple[Strip, ...]
    columns: tuple[str, ...]
    """Class names over the images; empty if the evaluation kept none."""
    width: int
    """Display width of its longest strip in CSS pixels."""
    pixelated: bool
    words: str = ""
    """What is to be said of them beside the label."""
    problem: str = ""
    """Why there are no strips, if the file cannot be read."""


Examples = Mapping[str, NDArray[Any]]
"""The arrays of an `examples.npz` by name."""

UNREADABLE = (OSError, ValueError, KeyError, IndexError)
"""What a damaged or foreign `examples.npz` raises, when it is read or when its arrays are used."""


def read_examples(folder: Path) -> Examples:
    """The examples that an evaluation keeps in its folder; one of `UNREADABLE` if they are damaged."""
    return read_arrays(folder / EXAMPLES)


def unreadable(label: str, error: Exception) -> StripSet:
    """What stands in the place of pictures that cannot be shown."""
    return StripSet(label, (), (), 0, False, problem=f"{EXAMPLES} cannot be read: {error}")


def strip_sets(run: TableRun) -> list[StripSet]:
    """The strips of every row whose reconstructions at the run's first seed have left examples."""
    found = []
    for row in run.rows:
        folder = row.evaluation.folder
        if (
            run.experiment.row(row.row).measures == "reconstruction"
            and row.seed == run.seeds[0]
            and row.status == "done"
            and folder
            and (folder / EXAMPLES).is_file()
        ):
            found.append(_strip_set(row_label(run, row.row), folder))
    return found


def _strip_set(label: str, folder: Path) -> StripSet:
    try:
        arrays = read_examples(folder)
        original = arrays["original"]
        names = step_names(arrays)
        count = min(MAX_IMAGES, len(original))
        columns = class_names(arrays, count)
        width, pixelated = strip_width(original)
        shown = {"original": original} | ({"teacher": arrays["teacher"]} if "teacher" in arrays else {})
        shown |= {f"T={name[1:]}": arrays[name] for name in names}
        said = f"{count} images" + (f": {', '.join(columns)}" if columns else "")
        strips = tuple(
            Strip(name, data_uri(images[:count]), f"{label}, {name}, {said}", count * width)
            for name, images in shown.items()
        )
    except UNREADABLE as error:
        return unreadable(label, error)
    return StripSet(label, strips, columns, count * width, pixelated)


def step_names(arrays: Iterable[str]) -> list[str]:
    """The names of reconstructions (`T1`, `T2`, ...) among those of an `examples.npz`, by steps."""
    return sorted((name for name in arrays if re.fullmatch(r"T\d+", name)), key=lambda name: int(name[1:]))


def strip_width(images: NDArray[np.uint8]) -> tuple[int, bool]:
    """The display width of one of `images` `[n,3,H,W]`, and whether its pixels stay sharp."""
    height, width = images.shape[2:]
    small = height <= LOSSLESS_UP_TO
    return (width * (64 // height) if small else min(width, MAX_WIDTH)), small


def class_names(arrays: Mapping[str, NDArray[np.generic]], count: int) -> tuple[str, ...]:
    """The classes of the first `count` images of an `examples.npz`; none if it has no labels."""
    if "labels" not in arrays:
        return ()
    labels = [int(label) for label in arrays["labels"][:count]]
    names = [str(name) for name in arrays.get("class_names", np.array([]))]
    return tuple(names[label] if 0 <= label < len(names) else str(label) for label in labels)


def data_uri(images: NDArray[np.uint8]) -> str:
    """The images `[n,3,H,W]` uint8 side by side, as a `data:` address.

    Raises:
        ValueError: not such an array.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8 or not len(images):
        raise ValueError(f"expected uint8 [n,3,H,W], got {images.dtype} {list(images.shape)}")
    strip = Image.fromarray(np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1))
    lossless = images.shape[2] <= LOSSLESS_UP_TO
    buffer = io.BytesIO()
    strip.save(
        buffer, format="PNG" if lossless else "JPEG", **({"optimize": True} if lossless else {"quality": 92})
    )
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
