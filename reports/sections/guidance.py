"""The choice of each generator's guidance and temperature: every point of the grid with its gFID."""

from __future__ import annotations

from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, ValidationError

from experiments.records import RowState, Run
from experiments.records.estimates import estimate
from reports.html import section
from reports.numbers import decimals_for, fixed
from reports.tables import Cell, Column, Group, Line, Table

ORDER, TITLE = 140, "Guidance"


class SamplingPoint(BaseModel):
    """A point of the grid, with its gFID on the images used for the choice."""

    model_config = ConfigDict(frozen=True)

    guidance_schedule: str
    guidance_scale: float
    temperature: float
    gfid: float = 0.0

    @property
    def words(self) -> str:
        """Description such as `guidance linear up to 3, temperature 1`; a scale of 0 is no guidance."""
        guidance = "no guidance"
        if self.guidance_scale:
            how = "constant at" if self.guidance_schedule == "constant" else f"{self.guidance_schedule} up to"
            guidance = f"guidance {how} {self.guidance_scale:g}"
        return f"{guidance}, temperature {self.temperature:g}"


class Sampling(BaseModel):
    """The choice of a generator's guidance, on images other than the evaluation's."""

    points: tuple[SamplingPoint, ...]
    chosen: SamplingPoint
    extractor: str
    reference: str
    n_images: int


def applies(run: Run) -> bool:
    """Whether a choice was made."""
    return any(sampling_of(run, state) for state in run.rows)


def render(run: Run) -> Markup:
    """The grid, with a column for each row and seed."""
    return section(run, "Choice of guidance and temperature", grid(run))


def grid(run: Run) -> Table:
    """A line for each point of the grid; the point chosen for each row and seed is marked."""
    made = [(state, sampling) for state in run.rows if (sampling := sampling_of(run, state))]
    points = [point for _, sampling in made for point in sampling.points]
    decimals = decimals_for(estimate([point.gfid]) for point in points)
    lines = []
    for words in dict.fromkeys(point.words for point in points):
        cells = []
        for _, sampling in made:
            value = {point.words: fixed(point.gfid, decimals) for point in sampling.points}.get(words, "")
            cells.append(Cell(value, best=sampling.chosen.words == words))
        lines.append(Line(words, tuple(cells)))
    places = dict.fromkeys(
        f"{sampling.n_images:,} samples against {sampling.reference} in {sampling.extractor}"
        for _, sampling in made
    )
    caption = (
        f"gFID of {'; '.join(places)}. ★ marks the point chosen for the row and seed; the evaluation's "
        "images were not used for the choice."
    )
    heads = (Column(run.label(state.row), (f"seed {state.seed}",)) for state, _ in made)
    return Table(caption, (Column("Sampling"), *heads), (Group("", tuple(lines)),), best="chosen")


def sampling_of(run: Run, state: RowState) -> Sampling | None:
    """The choice of a row's guidance; None if it is not made yet or the row has no generator."""
    result = run.results.get(run.input_of(state.evaluation, "guidance"))
    try:
        return Sampling.model_validate(result.model_extra) if result else None
    except ValidationError:
        return None
