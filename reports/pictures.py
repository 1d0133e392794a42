"""Strips of images for a page, from the `examples.npz` of an evaluation."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiments.records import RowState, Run
from experiments.store import EXAMPLES
from sftok.io.arrays import read_arrays

SUBJECTS = ("teacher", "pixels", "tokenizer")
"""Names that evaluations give to reconstructions without decoding steps."""

MAX_IMAGES = 10
MAX_WIDTH = 128
"""Display width of a large image in CSS pixels."""

LOSSLESS_UP_TO = 64
"""Images up to this height are shown as enlarged PNG; larger ones as JPEG at their own resolution."""

UNREADABLE = (OSError, ValueError, KeyError, IndexError)
"""Exceptions from reading or using a damaged or foreign `examples.npz`."""

Images = NDArray[np.uint8]
"""`[n, 3, H, W]`."""

Examples = Mapping[str, NDArray[Any]]
"""The arrays of an `examples.npz` by name."""


@dataclass(frozen=True)
class Strip:
    """A named row of images."""

    name: str
    uri: str
    alternative: str
    width: int
    """Display width in CSS pixels, an integer multiple of the original for small images."""


@dataclass(frozen=True)
class Gallery:
    """A column of strips."""

    label: str
    strips: tuple[Strip, ...] = ()
    columns: tuple[str, ...] = ()
    """Headings above the images; may be empty."""
    pixelated: bool = False
    words: str = ""
    """Text next to the label."""
    problem: str = ""
    """Why the file cannot be read, in which case there are no strips."""
    open: bool = True

    @property
    def width(self) -> int:
        """Display width of the longest strip in CSS pixels."""
        return max(strip.width for strip in self.strips)


def galleries(
    run: Run, measures: str, draw: Callable[[RowState, str, Examples], Gallery]
) -> Iterator[Gallery]:
    """Apply `draw` to the examples of each finished row at the run's first seed.

    An unreadable file gives a gallery that reports the problem.
    """
    for state in run.rows:
        wanted = run.experiment.row(state.row).measures == measures
        if wanted and state.seed == run.request.seeds[0] and state.status == "done":
            label = run.label(state.row)
            try:
                yield draw(state, label, read_examples(state))
            except FileNotFoundError:
                continue
            except UNREADABLE as error:
                yield unreadable(label, error)


def read_examples(state: RowState) -> Examples:
    """Read the examples of a finished row; raises one of `UNREADABLE` if they are damaged."""
    if state.evaluation.folder is None:
        raise KeyError("the evaluation has no folder")
    return read_arrays(state.evaluation.folder / EXAMPLES)


def unreadable(label: str, error: Exception) -> Gallery:
    """The gallery shown in place of unreadable pictures."""
    return Gallery(label, problem=f"{EXAMPLES} cannot be read: {error}")


def gallery(
    label: str, lines: Sequence[tuple[str, Images]], columns: tuple[str, ...] = (), words: str = ""
) -> Gallery:
    """A gallery of named rows of images."""
    height, own_width = lines[0][1].shape[2:]
    small = height <= LOSSLESS_UP_TO
    width = own_width * (64 // height) if small else min(own_width, MAX_WIDTH)
    strips = tuple(
        Strip(name, data_uri(images), f"{label}, {name}: {len(images)} images", width * len(images))
        for name, images in lines
    )
    return Gallery(label, strips, columns, small, words)


def step_names(examples: Examples) -> list[str]:
    """The names of the reconstructions: `T1`, `T2` ... by steps, or the single one without steps.

    Raises:
        KeyError: there are no reconstructions.
    """
    names = sorted((name for name in examples if re.fullmatch(r"T\d+", name)), key=lambda name: int(name[1:]))
    if not names:
        names = [name for name in SUBJECTS if name in examples]
    if not names:
        raise KeyError("no reconstruction in it")
    return names


def step_label(name: str) -> str:
    """The label of a reconstruction on a page, e.g. `T=8`."""
    return f"T={name[1:]}" if re.fullmatch(r"T\d+", name) else "reconstruction"


def class_names(examples: Examples, count: int) -> tuple[str, ...]:
    """The class names of the first `count` images; empty if there are no labels."""
    if "labels" not in examples:
        return ()
    labels = [int(label) for label in examples["labels"][:count]]
    names = [str(name) for name in examples.get("class_names", np.array([]))]
    return tuple(names[label] if 0 <= label < len(names) else str(label) for label in labels)


def data_uri(images: Images) -> str:
    """The images side by side, as a `data:` URI.

    Raises:
        ValueError: the array is not uint8 `[n, 3, H, W]`.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8 or not len(images):
        raise ValueError(f"expected uint8 [n,3,H,W], got {images.dtype} {list(images.shape)}")
    strip = Image.fromarray(np.concatenate(list(images.transpose(0, 2, 3, 1)), axis=1))
    lossless = images.shape[2] <= LOSSLESS_UP_TO
    kind, options = ("png", {"optimize": True}) if lossless else ("jpeg", {"quality": 92})
    buffer = io.BytesIO()
    strip.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
