"""How guidance and temperature of each generator were chosen: every point of the grid with its gFID."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.records.results import Sampling, SamplingPoint, TableRun
from experiments.records.verdicts import estimate
from reports.numbers import decimals_for, fixed
from reports.tables import Cell, row_label


@dataclass(frozen=True)
class GuidanceLine:
    """One point of the grid."""

    words: str
    cells: tuple[Cell, ...]
    """gFID by column; the chosen one is marked as the best."""


@dataclass(frozen=True)
class GuidanceTable:
    """The grid, a column for each row and seed of the table."""

    columns: tuple[tuple[str, int], ...]
    """Label and seed."""
    lines: tuple[GuidanceLine, ...]
    said: str
    """On which images and in which feature space."""


def sampling_words(point: SamplingPoint) -> str:
    """`guidance linear up to 3, temperature 1`; a scale of 0 is no guidance."""
    guidance = "no guidance"
    if point.scale:
        how = "constant at" if point.schedule == "constant" else f"{point.schedule} up to"
        guidance = f"guidance {how} {point.scale:g}"
    return f"{guidance}, temperature {point.temperature:g}"


def guidance_table(run: TableRun) -> GuidanceTable | None:
    """The choices that are made; None before the first, or where nothing is generated."""
    made = [(row, row.sampling) for row in run.rows if row.sampling is not None]
    if not made:
        return None
    points = dict.fromkeys(sampling_words(point) for _, sampling in made for point in sampling.points)
    decimals = decimals_for(estimate([point.gfid]) for _, sampling in made for point in sampling.points)
    return GuidanceTable(
        columns=tuple((row_label(run, row.row), row.seed) for row, _ in made),
        lines=tuple(
            GuidanceLine(words, tuple(_cell(words, sampling, decimals) for _, sampling in made))
            for words in points
        ),
        said=_said([sampling for _, sampling in made]),
    )


def _cell(words: str, sampling: Sampling, decimals: int) -> Cell:
    for point in sampling.points:
        if sampling_words(point) == words:
            return Cell(fixed(point.gfid, decimals), best=point == sampling.chosen)
    return Cell()


def _said(made: Sequence[Sampling]) -> str:
    places = dict.fromkeys(
        f"{sampling.n_images:,} samples against {sampling.reference} in {sampling.extractor}"
        for sampling in made
    )
    return "; ".join(places)
