"""The pictures of a figure: systems, numbers of steps, or classes side by side (Figures 5 to 7, 15)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from markupsafe import Markup

from experiments.records import Run
from reports.html import Note, section
from reports.pictures import (
    MAX_IMAGES,
    UNREADABLE,
    Examples,
    Gallery,
    Images,
    class_names,
    gallery,
    read_examples,
    step_label,
    step_names,
    unreadable,
)

ORDER, TITLE = 30, "Pictures"

BRIGHTER = 2
"""Factor by which differences are brightened, because most of them would be black otherwise."""


def applies(run: Run) -> bool:
    """Whether the experiment has galleries and a row to show."""
    return bool(run.experiment.galleries) and bool(drawn(run))


def render(run: Run) -> Markup:
    """The galleries, and the systems of the paper that they cannot show."""
    seed = run.request.seeds[0]
    note = f"Seed {seed}, the first evaluated images of each class; T is the number of decoding steps."
    if any(each.layout != "classes" for each in run.experiment.galleries):
        note += (
            f" Absolute differences are shown {BRIGHTER} times as bright, with black for none; their mean, "
            "in gray levels out of 255, is not scaled."
        )
    absent = ", ".join(row.label for row in run.experiment.rows if not row.trained)
    missing = [Note(f"Not trained here, so not in the picture: {absent}.", "small")] if absent else []
    return section(run, TITLE, Note(note), *missing, *drawn(run))


@lru_cache(maxsize=1)
def drawn(run: Run) -> list[Gallery]:
    """The galleries of finished rows at the run's first seed, and reports of unreadable files."""
    found: dict[str, Examples] = {}
    problems = []
    for state in run.rows:
        if state.seed == run.request.seeds[0] and state.status == "done":
            try:
                examples = read_examples(state)
                step_names(examples), examples["original"]
                found[state.row] = examples
            except UNREADABLE as error:
                problems.append(unreadable(run.label(state.row), error))
    layouts = {"systems": _systems, "steps": _steps, "classes": _classes}
    figures = run.experiment.galleries if found else ()
    shown = [each for figure in figures for each in layouts[figure.layout](run, figure.title, found)]
    return [*shown, *problems]


def difference(left: Images, right: Images) -> Images:
    """|left - right| by channel, `BRIGHTER` times as bright, clipped at white.

    Raises:
        ValueError: the shapes differ.
    """
    if left.shape != right.shape:
        raise ValueError(f"cannot subtract images {list(right.shape)} from {list(left.shape)}")
    exact = np.abs(left.astype(np.int16) - right.astype(np.int16))
    return np.minimum(BRIGHTER * exact, 255).astype(np.uint8)


def _systems(run: Run, title: str, found: Mapping[str, Examples]) -> Iterator[Gallery]:
    """Figure 5: the originals, and the reconstructions of every system with their errors."""
    first = next(iter(found.values()))
    original = first["original"][:MAX_IMAGES]
    lines = [("original", original)]
    for row, examples in found.items():
        name = _shown(run, row, examples)
        images = examples[name][:MAX_IMAGES]
        lines += [
            (f"{run.label(row)}, {step_label(name)}", images),
            _compared("difference", original, images),
        ]
    yield gallery(title, lines, class_names(first, len(original)))


def _steps(run: Run, title: str, found: Mapping[str, Examples]) -> Iterator[Gallery]:
    """Figure 7: each row at every number of steps, the errors, and the change between steps."""
    for row, examples in found.items():
        original = examples["original"][:MAX_IMAGES]
        images = {step_label(name): examples[name][:MAX_IMAGES] for name in step_names(examples)}
        lines = [("original", original), *images.items()]
        lines += [_compared(f"{name} − original", original, shown) for name, shown in images.items()]
        if len(images) > 1:
            least, *_, most = images
            lines.append(_compared(f"{least} − {most}", images[least], images[most]))
        yield gallery(f"{title}: {run.label(row)}", lines, class_names(examples, len(original)))


def _classes(run: Run, title: str, found: Mapping[str, Examples]) -> Iterator[Gallery]:
    """A line for each class: its images, each followed by the reconstructions of all rows."""
    first = next(iter(found.values()))
    names = class_names(first, len(first["original"]))
    shown = [first["original"], *(ex[_shown(run, row, ex)] for row, ex in found.items())]
    columns = ("original", *(run.label(row) for row in found))
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    lines = [
        (name, np.stack([images[place] for place in of_class for images in shown]))
        for name, of_class in places.items()
    ]
    if lines:
        yield gallery(title, lines, columns * max(map(len, places.values())))


def _shown(run: Run, row: str, examples: Examples) -> str:
    """The name of the reconstruction at the headline's number of steps or, without one, at the largest."""
    wanted = f"T{run.experiment.steps_of(row)}"
    return wanted if wanted in examples else step_names(examples)[-1]


def _compared(name: str, left: Images, right: Images) -> tuple[str, Images]:
    distance = np.abs(left.astype(np.int16) - right.astype(np.int16)).mean()
    return f"{name} (mean {distance:.1f})", difference(left, right)
