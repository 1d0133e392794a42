"""The page of all evaluations by `evaluate` in a store, and a page of single images for each.

Each table has numbers of only one protocol. The pages load nothing; their only script sorts tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from PIL import Image

from experiments.records.measurements import MeasuredSubject, measured_subjects
from experiments.specs.tables import read_table
from experiments.store import EXTREMES, PER_IMAGE
from reports.charts import Axis, Chart, line_chart
from reports.figures import SERIES, render
from reports.html import Charts, template
from reports.numbers import fixed
from reports.pictures import Images, data_uri
from sftok.io.arrays import read_arrays
from sftok.io.unfinished import atomic, write_text
from sftok.metrics.quantity import Quantity

PAGE = "evaluate"
PUBLISHED_SPACE = "inception-v3-compat"
"""The feature space of the published numbers."""

FIRST = ("rfid", "gfid", "is", "psnr", "ssim", "lpips", "bits_per_pixel", "bits_per_image")
"""The first columns in order; all others follow."""

JUDGES = ("lpips", "psnr")
"""Metrics by which pictures are ordered; the first one that was measured is used."""

THUMBNAIL = 96
BOX = (0.1, 0.24, 0.88, 0.72)
"""Axes of a histogram: left, bottom, width and height, as shares of the figure."""

MAX_BINS = 40


@dataclass(frozen=True)
class Heading:
    """A column of the table."""

    quantity: Quantity
    extractor: str


@dataclass(frozen=True)
class Value:
    """A cell: its text, and the number to sort by (None sorts last)."""

    text: str
    sort: float | None
    best: bool = False


@dataclass(frozen=True)
class Entry:
    """A row of the table: a subject with one decoding."""

    label: str
    title: str
    kind: str
    at: str
    page: str | None
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Group:
    """All evaluations under one protocol."""

    fingerprint: str
    data: str
    facts: tuple[tuple[str, str], ...]
    headings: tuple[Heading, ...]
    entries: tuple[Entry, ...]
    charts: Charts | None


@dataclass(frozen=True)
class Picture:
    """Thumbnails and files of an original and its reconstruction."""

    name: str
    value: str
    thumbnails: tuple[str, str]
    files: tuple[str, str]


def write_evaluations(folder: Path, store: Path) -> Path | None:
    """Write the pages of the evaluations in `store` to `folder`; returns None if there are none.

    Args:
        folder: the store's `report` folder, which is created.
        store: root folder of the store.
    """
    subjects = measured_subjects(store)
    if not subjects:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        subject.name: link for subject in subjects if (link := _write_pictures(folder, subject)) is not None
    }
    prints = dict.fromkeys(subject.fingerprint for subject in subjects)
    groups = [_group([each for each in subjects if each.fingerprint == one], pages) for one in prints]
    published = [line for line in read_table("experiments.paper", "table1.tsv") if line["rfid"]]
    page = folder / f"{PAGE}.html"
    write_text(page, template(PAGE, groups=groups, published=published, refresh=None))
    return page


def short(label: str) -> str:
    """The last parts of a path; other labels are unchanged."""
    parts = PurePath(label).parts
    return label if len(parts) < 3 else "/".join(("…", *parts[-2:]))


def _group(subjects: Sequence[MeasuredSubject], pages: dict[str, str]) -> Group:
    protocol = subjects[0].protocol
    frame = pd.concat([each.frame.assign(subject=each.name) for each in subjects], ignore_index=True)
    metrics = {name: quantity for each in subjects for name, quantity in each.metrics.items()}
    columns = frame[["metric", "extractor"]].drop_duplicates().itertuples(index=False, name=None)
    ordered = sorted(columns, key=lambda pair: FIRST.index(pair[0]) if pair[0] in FIRST else len(FIRST))
    headings = tuple(Heading(metrics[metric], extractor) for metric, extractor in ordered)
    charts = tuple(_charts(frame, subjects, metrics))
    facts = {
        "Images": f"{protocol.get('n_images', 0):,}",
        "Reference": str(protocol.get("reference", "")),
        "Feature spaces": ", ".join(protocol.get("extractors", {})),
        "Rounding": str(protocol.get("rounding", "")),
        "Precision": str(protocol.get("precision", "")),
        "Fingerprint": subjects[0].fingerprint,
    }
    return Group(
        fingerprint=subjects[0].fingerprint[:16],
        data=str(getattr(subjects[0].result, "data", "")),
        facts=tuple(facts.items()),
        headings=headings,
        entries=tuple(_entries(frame, subjects, headings, pages)),
        charts=Charts(charts, charts[0].legend) if charts else None,
    )


def _entries(
    frame: pd.DataFrame,
    subjects: Sequence[MeasuredSubject],
    headings: Sequence[Heading],
    pages: dict[str, str],
) -> Iterator[Entry]:
    """A row for each subject and decoding; numbers that do not depend on decoding appear in all of them."""
    lines: list[tuple[MeasuredSubject, str, dict[tuple[str, str], tuple[float, float]]]] = []
    for subject in subjects:
        own = frame[frame["subject"] == subject.name]
        places = [place for place in dict.fromkeys(own["at"]) if place] or [""]
        for place in places:
            here = own[own["at"].isin(["", place])]
            keys = zip(here["metric"], here["extractor"], strict=True)
            numbers = (
                here.reindex(columns=["value", "half_width"]).astype(float).itertuples(index=False, name=None)
            )
            lines.append((subject, place, dict(zip(keys, numbers, strict=True))))
    columns = [
        _column([values.get((each.quantity.name, each.extractor)) for _, _, values in lines], each.quantity)
        for each in headings
    ]
    cells = list(zip(*columns, strict=True)) if columns else [()] * len(lines)
    order = sorted(range(len(lines)), key=lambda place: _rank(cells[place], headings))
    for place in order:
        subject, at, _ = lines[place]
        yield Entry(
            short(subject.label),
            subject.label,
            subject.kind,
            at,
            pages.get(subject.name),
            tuple(cells[place]),
        )


def _rank(cells: Sequence[Value], headings: Sequence[Heading]) -> tuple[float, ...]:
    """Sort key that puts the best rFID or gFID first."""
    found = [
        cell.sort
        for cell, heading in zip(cells, headings, strict=True)
        if heading.quantity.name in ("rfid", "gfid") and cell.sort is not None
    ]
    return tuple(found[:1]) or (float("inf"),)


def _column(numbers: Sequence[tuple[float, float] | None], quantity: Quantity) -> list[Value]:
    """Cells from values and half-widths of their intervals (NaN for none); the best is marked."""
    given = [number[0] for number in numbers if number is not None and np.isfinite(number[0])]
    decimals = (
        0 if max(map(abs, given), default=0) >= 1000 else 2 if max(map(abs, given), default=0) >= 10 else 4
    )
    extreme = (max if quantity.direction > 0 else min)(given, default=None) if quantity.direction else None
    marked = extreme if len(set(given)) > 1 else None
    cells = []
    for number in numbers:
        value, width = number or (None, np.nan)
        text = "–" if value is None else fixed(value, decimals)
        text += f" ± {fixed(width, decimals)}" if np.isfinite(width) else ""
        cells.append(Value(text, value, value is not None and value == marked))
    return cells


def _charts(
    frame: pd.DataFrame, subjects: Sequence[MeasuredSubject], metrics: dict[str, Quantity]
) -> Iterator[Chart]:
    """Charts of rFID over bits per pixel and over steps, in each feature space."""
    labels = {each.name: f"{short(each.label)} ({each.name[-4:]})" for each in subjects}
    index = {each.name: place for place, each in enumerate(subjects)}
    bits = frame[frame["metric"] == "bits_per_pixel"].set_index(["subject", "at"])["value"]
    for extractor in dict.fromkeys(frame.loc[frame["metric"] == "rfid", "extractor"]):
        numbers = frame[(frame["metric"] == "rfid") & (frame["extractor"] == extractor)]
        points = pd.DataFrame(
            {
                "line": numbers["subject"].map(labels),
                "index": numbers["subject"].map(index),
                "y": numbers["value"],
                "half_width": np.nan,
                "end": False,
            }
        )
        references = published_references() if extractor == PUBLISHED_SPACE else {}
        keys = zip(numbers["subject"], numbers["at"], strict=True)
        rates = points.assign(x=[bits.get(key, np.nan) for key in keys])
        title = metrics["rfid"].heading
        if rates["x"].notna().any():
            yield from _drawn(line_chart(title, extractor, rates, Axis("bits per pixel", "log"), references))
        if "steps" in numbers and numbers["steps"].nunique() > 1:
            steps = points.assign(x=numbers["steps"].astype(float))
            yield from _drawn(
                line_chart(title, extractor, steps, Axis("decoding steps", "powers"), references)
            )


def _drawn(chart: Chart | None) -> Iterator[Chart]:
    if chart is not None:
        yield chart


def published_references() -> dict[str, float]:
    """Published rFID on ImageNet of the paper's best system and of SFTok-L."""
    lines = {
        line["label"]: float(line["rfid"])
        for line in read_table("experiments.paper", "table1.tsv")
        if line["rfid"]
    }
    named = {"SFTok-L": lines["SFTok-L"]} if "SFTok-L" in lines else {}
    return {min(lines, key=lines.__getitem__): min(lines.values()), **named}


def _write_pictures(folder: Path, subject: MeasuredSubject) -> str | None:
    """Write the page of single images of a subject; returns None if it has none."""
    page = f"{PAGE}-{subject.name}"
    if (folder / f"{page}.html").exists():  # a finished evaluation never changes
        return f"{page}.html"
    try:
        extremes = read_arrays(subject.folder / EXTREMES)
        values = pd.read_parquet(subject.folder / PER_IMAGE)
    except (OSError, ValueError):
        return None
    parts = []
    for name in (each.removesuffix(".worst.places") for each in extremes if each.endswith(".worst.places")):
        judge = next((each for each in JUDGES if f"{name}.{each}" in values), None)
        if judge is None:
            continue
        judged = values[f"{name}.{judge}"]
        pictures = {
            title: [*_pictures(folder / page, f"{name}.{which}", extremes, values["name"], judged)]
            for which, title in (("worst", "The worst"), ("best", "The best"))
        }
        parts.append((name, judge, histogram(judged.to_numpy(), judge), pictures))
    if not parts:
        return None
    classes = {at: _class_rows(subject, numbers) for at, numbers in subject.classes.items()}
    text = template(f"{PAGE}_images", subject=subject, parts=parts, classes=classes, page=PAGE, refresh=None)
    write_text(folder / f"{page}.html", text)
    return f"{page}.html"


def _class_rows(
    subject: MeasuredSubject, numbers: pd.DataFrame
) -> tuple[list[str], list[tuple[str, tuple[Value, ...]]]]:
    """The headings, and a row of cells for each class."""
    metrics = subject.metrics
    columns = [
        _column([(value, np.nan) for value in numbers[name]], metrics[name.partition(" (")[0]])
        for name in numbers
    ]
    return list(numbers), list(zip(map(str, numbers.index), zip(*columns, strict=True), strict=True))


def _pictures(
    folder: Path, which: str, extremes: dict[str, Images], names: pd.Series, values: pd.Series
) -> Iterator[Picture]:
    folder.mkdir(exist_ok=True)
    pairs = zip(extremes[f"{which}.places"], extremes[f"{which}.original"], extremes[which], strict=True)
    for number, (place, original, rebuilt) in enumerate(pairs):
        files = []
        for kind, image in (("original", original), ("reconstruction", rebuilt)):
            file = folder / f"{which}.{number}.{kind}.png"
            with atomic(file) as temporary:
                Image.fromarray(image.transpose(1, 2, 0)).save(temporary, format="PNG")
            files.append(f"{folder.name}/{file.name}")
        thumbnails = (_thumbnail(original), _thumbnail(rebuilt))
        yield Picture(str(names[place]), f"{values[place]:.4g}", thumbnails, (files[0], files[1]))


def _thumbnail(image: Images) -> str:
    picture = Image.fromarray(image.transpose(1, 2, 0))
    if picture.width > THUMBNAIL:
        picture = picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return data_uri(np.asarray(picture).transpose(2, 0, 1)[None])


def histogram(values: np.ndarray, label: str) -> Markup:
    """A histogram of the values of single images."""
    counts, edges = np.histogram(values, bins=min(MAX_BINS, max(5, len(values) // 10)))

    def paint(axes: Axes) -> None:
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=SERIES[0], linewidth=0)
        axes.set_xlabel(label, parse_math=False)
        axes.set_ylabel("images", parse_math=False)

    return Markup(
        render(paint, f"histogram {label} {counts.tolist()} {edges.tolist()}", size=(6.0, 2.2), box=BOX)
    )
