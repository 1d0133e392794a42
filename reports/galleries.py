"""The pictures of a figure, from the examples that evaluations keep: systems, steps, or classes side by side.

A gallery is a `StripSet` whatever it shows: lines of images with a label each. What the lines are is decided
here, and how they look in `part.gallery` of the templates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.records.results import RowRun, TableRun
from reports.strips import (
    MAX_IMAGES,
    UNREADABLE,
    Examples,
    Strip,
    StripSet,
    class_names,
    data_uri,
    read_examples,
    step_names,
    strip_width,
    unreadable,
)
from reports.tables import row_label

Images = NDArray[np.uint8]
"""`[n, 3, H, W]`."""

BRIGHTER = 2
"""Differences are shown so many times as bright, or most of them would be black."""


def gallery_sets(run: TableRun) -> list[StripSet]:
    """The galleries of the experiment at the run's first seed, of the rows that are done."""
    if not run.experiment.galleries:
        return []
    rows = [row for row in run.rows if row.seed == run.seeds[0] and row.status == "done"]
    found: dict[str, Examples] = {}
    problems = []
    for row in rows:
        try:
            found[row.row] = _read(row)
        except UNREADABLE as error:
            problems.append(unreadable(row_label(run, row.row), error))
    if not found:
        return problems
    layouts: Mapping[str, Callable[[TableRun, str, Mapping[str, Examples]], list[StripSet]]]
    layouts = {"systems": _systems, "steps": _steps, "classes": _classes}
    galleries = run.experiment.galleries
    drawn = [part for gallery in galleries for part in layouts[gallery.layout](run, gallery.title, found)]
    return [*drawn, *problems]


def not_shown(run: TableRun) -> tuple[str, ...]:
    """The systems of the paper that are not run here, so that no gallery can show them."""
    return tuple(row.label for row in run.experiment.rows if not row.trained)


def difference(left: Images, right: Images) -> Images:
    """|left - right| by channel, `BRIGHTER` times as bright, cut off at white.

    Raises:
        ValueError: the shapes differ.
    """
    if left.shape != right.shape:
        raise ValueError(f"cannot subtract images {list(right.shape)} from {list(left.shape)}")
    exact = np.abs(left.astype(np.int16) - right.astype(np.int16))
    return np.minimum(BRIGHTER * exact, 255).astype(np.uint8)


def _systems(run: TableRun, title: str, found: Mapping[str, Examples]) -> list[StripSet]:
    """Figure 5: the originals, and of every system its reconstructions and what they get wrong."""
    first = next(iter(found.values()))
    original = first["original"][:MAX_IMAGES]
    lines = [("original", original)]
    for name, examples in found.items():
        steps = _steps_shown(run, name, examples)
        images = examples[f"T{steps}"][:MAX_IMAGES]
        label = f"{row_label(run, name)}, T={steps}"
        lines += [(label, images), (_mean("difference", original, images), difference(original, images))]
    return [_strips(title, lines, class_names(first, len(original)))]


def _steps(run: TableRun, title: str, found: Mapping[str, Examples]) -> list[StripSet]:
    """Figure 7: of each row, every number of steps, what it gets wrong, and what the steps change."""
    sets = []
    for name, examples in found.items():
        original = examples["original"][:MAX_IMAGES]
        steps = step_names(examples)
        images = {step: examples[step][:MAX_IMAGES] for step in steps}
        lines = [("original", original)]
        lines += [(f"T={step[1:]}", images[step]) for step in steps]
        for step in steps:
            label = _mean(f"T={step[1:]} − original", original, images[step])
            lines.append((label, difference(original, images[step])))
        if len(steps) > 1:
            least, most = images[steps[0]], images[steps[-1]]
            between = f"T={steps[0][1:]} − T={steps[-1][1:]}"
            lines.append((_mean(between, least, most), difference(least, most)))
        label = f"{title}: {row_label(run, name)}"
        sets.append(_strips(label, lines, class_names(examples, len(original))))
    return sets


def _classes(run: TableRun, title: str, found: Mapping[str, Examples]) -> list[StripSet]:
    """A line for each class: its images, each followed by what every row makes of it."""
    first = next(iter(found.values()))
    names = class_names(first, len(first["original"]))
    shown = [first["original"], *(ex[f"T{_steps_shown(run, name, ex)}"] for name, ex in found.items())]
    columns = ("original", *(row_label(run, name) for name in found))
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    lines = [
        (name, np.stack([images[place] for place in of_class for images in shown]))
        for name, of_class in places.items()
    ]
    most = max((len(of_class) for of_class in places.values()), default=0)
    return [_strips(title, lines, columns * most)] if lines else []


def _strips(label: str, lines: Sequence[tuple[str, Images]], columns: tuple[str, ...]) -> StripSet:
    count = max(len(images) for _, images in lines)
    width, pixelated = strip_width(lines[0][1])
    strips = tuple(
        Strip(name, data_uri(images), f"{label}, {name}, {len(images)} images", width * len(images))
        for name, images in lines
    )
    return StripSet(label, strips, columns, width * count, pixelated)


def _steps_shown(run: TableRun, name: str, examples: Examples) -> int:
    """The headline's number of steps if it was evaluated, else the largest that was."""
    wanted = run.experiment.steps_of(name)
    return wanted if f"T{wanted}" in examples else int(step_names(examples)[-1][1:])


def _mean(name: str, left: Images, right: Images) -> str:
    distance = np.abs(left.astype(np.int16) - right.astype(np.int16)).mean()
    return f"{name} (mean {distance:.1f})"


def _read(row: RowRun) -> Examples:
    if row.evaluation.folder is None:
        raise KeyError("the evaluation has no folder")
    examples = read_examples(row.evaluation.folder)
    if "original" not in examples or not step_names(examples):
        raise KeyError("no original or no reconstruction in it")
    return examples
