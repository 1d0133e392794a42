"""The calibration of the feature spaces: their response to images degraded in known ways."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from markupsafe import Markup

from experiments.records import Run
from experiments.records.estimates import estimate
from experiments.records.frame import select
from experiments.records.judges import discernment, reports_of
from reports.charts import POINTS, Axis, Chart, line_chart
from reports.html import Charts, Fold, Note, section
from reports.numbers import fixed
from reports.pictures import MAX_IMAGES, Examples, Gallery, class_names, galleries, gallery
from reports.tables import Cell, Column, Group, Line, Table
from sftok.calibration.report import LABELS, Mean, SpaceReport

ORDER, TITLE = 35, "Calibration"

MIXED = "blurred_to_"

READING = (
    "Each chart shows the change of FID from the undistorted reconstruction, as a share of the largest "
    "change: mean over draws with its 95 % interval. Where a line falls, its space rates a worse set as "
    "better."
)

SIDES = (
    "Two sets with the same squared error: blurred images with the right codes, and sharp ones with up to "
    "a fifth of the codes from another image. Each chart goes from all blurred (0) to all wrong (1) and "
    "shows FID relative to that of the blurred images. A line that ends above 1 belongs to a space that "
    "rates wrong images as worse."
)


def applies(run: Run) -> bool:
    """Whether this run is a finished calibration."""
    measures = {row.measures for row in run.experiment.trained_rows}
    return measures == {"calibration"} and bool(reports_of(run))


def render(run: Run) -> Markup:
    """The conclusion, the tables, the curves and the images."""
    reports = reports_of(run)
    spaces = [report.space for report in reports]
    legend = tuple(enumerate(spaces))
    return section(
        run,
        TITLE,
        Note(conclusion(run), ""),
        summary(run, reports),
        Note(READING),
        Charts(tuple(curves(run, spaces, mixed=False)), legend),
        Note(SIDES),
        Charts(tuple(curves(run, spaces, mixed=True)), legend),
        Fold("Every distortion in every space", (details(reports),)),
        Fold("What was measured", tuple(pictures(run))),
    )


def conclusion(run: Run) -> str:
    """The calibrated spaces, the primary one, and the preference of each, in words."""
    judges, reports = run.judges, reports_of(run)
    total = len(reports)
    if judges.calibrated:
        named = ", ".join(judges.calibrated)
        said = f"{len(judges.calibrated)} of {total} spaces are calibrated, the best first: {named}."
    else:
        said = f"None of the {total} spaces is calibrated; {run.request.primary_extractor} remains primary."
    refused = "; ".join(f"{space} is not: {why}" for space, why in judges.refused.items())
    sides: dict[str, list[str]] = {}
    for report in reports:
        sides.setdefault(_side(report), []).append(report.space)
    taken = "; ".join(f"{side} according to {' and '.join(spaces)}" for side, spaces in sides.items())
    return f"{said}{f' {refused}.' if refused else ''} At the same squared error, {taken}."


def summary(run: Run, reports: list[SpaceReport]) -> Table:
    """A line for each space: the quantities that the rule uses, and the space's preference."""
    lines = []
    for report in reports:
        worst = min(report.rho, key=lambda name: report.rho[name].low)
        needed = {name: report.images_needed(name) for name in report.right}
        hardest = max(needed, key=lambda name: needed[name] or float("inf"))
        most = max(max(right) for right in report.right.values())
        place = run.judges.calibrated
        cells = (
            Cell(f"{place.index(report.space) + 1}" if report.space in place else "no"),
            _with_interval(report.rho[worst], LABELS[worst][0]),
            Cell(f"{100 * discernment(report)[0]:.0f} %"),
            Cell(str(needed[hardest] or f"more than {most}"), note=LABELS[hardest][0]),
            _seeds(report),
            *(_factor(mean) for mean in report.wrong_over_blurred.values()),
        )
        lines.append(Line(report.space, cells))
    kinds = [LABELS[kind][0] for kind in reports[0].wrong_over_blurred]
    columns = (
        Column("Feature space"),
        Column("Judge", ("place",)),
        Column("Smallest ρ", ("over draws",)),
        Column("Told apart", ("fewest images",)),
        Column("Images needed", ("at most",)),
        Column("Seeds agree", ("ρ",)),
        *(Column("Wrong / blurred", (kind,)) for kind in kinds),
    )
    caption = (
        "ρ is Spearman's correlation of FID with the strength of a distortion. Told apart: the share of "
        "neighboring strengths that FID orders correctly, for the worst distortion. Images needed: the "
        "smallest number that orders 95 % correctly. Wrong / blurred: FID of sharp images with wrong codes "
        "over that of blurred ones with the same squared error, with its interval; above 1, wrong images "
        "are worse."
    )
    return Table(caption, columns, (Group("", tuple(lines)),), dense=False)


def details(reports: list[SpaceReport]) -> Table:
    """ρ and the number of images needed, for each distortion in each space."""
    lines = []
    for name, (label, _) in LABELS.items():
        cells = []
        for report in reports:
            needed = report.images_needed(name) or f"more than {max(report.right[name])}"
            cells.append(Cell(str(report.rho[name]), note=f"{needed} images"))
        lines.append(Line(label, tuple(cells)))
    heads = (Column(report.space) for report in reports)
    caption = "Spearman's ρ with its 95 % interval, and the images that tell neighboring strengths apart."
    return Table(caption, (Column("Distortion"), *heads), (Group("", tuple(lines)),))


def curves(run: Run, spaces: list[str], mixed: bool) -> list[Chart]:
    """A chart for each distortion, or for each kind of mixture, with a line for each space."""
    numbers = select(run.frame, metric="rfid")
    names = [name for name in numbers["distortion"].dropna().unique() if name != "none"]
    charts = []
    for name in (each for each in names if each.startswith(MIXED) == mixed):
        label, unit = LABELS[name.removeprefix(MIXED)]
        parts = [_line(numbers, name, space, index, mixed) for index, space in enumerate(spaces)]
        title = f"Blurred to wrong: {label[0].lower()}{label[1:]}" if mixed else label
        axis = Axis("share of wrong images" if mixed else unit, "marked")
        said = "FID relative to the blurred" if mixed else "change of FID relative to the largest"
        chart = line_chart(title, said, pd.concat(parts), axis, {})
        charts += [chart] if chart else []
    return charts


def _line(numbers: pd.DataFrame, name: str, space: str, index: int, mixed: bool) -> pd.DataFrame:
    shown = numbers["distortion"].isin([name] if mixed else ["none", name]) & (numbers["extractor"] == space)
    # Each draw has its own images, and therefore its own scale.
    draws = numbers[shown].pivot(index="draw", columns="strength", values="value").sort_index(axis="columns")
    scaled = draws.div(draws.iloc[:, 0], axis="index")
    if not mixed:
        change = draws.sub(draws.iloc[:, 0], axis="index")
        scaled = change.div(change.abs().max(axis="columns"), axis="index")
    means = [estimate(scaled[strength].tolist()) for strength in scaled]
    points = {
        "line": space,
        "index": index,
        "x": scaled.columns.astype(float),
        "y": [each.mean for each in means],
        "half_width": [each.half_width for each in means],
        "end": False,
    }
    return pd.DataFrame(points, columns=list(POINTS))


def pictures(run: Run) -> list[Gallery]:
    """The first images, the teacher's reconstructions, and every distortion at full strength."""
    return [replace(each, open=True) for each in galleries(run, "calibration", _draw)]


def _draw(state: object, label: str, examples: Examples) -> Gallery:
    shown = [name for name in (*LABELS, *(f"{MIXED}{name}" for name in LABELS)) if name in examples]
    lines = [(name, examples[name][:MAX_IMAGES]) for name in ("original", "teacher")]
    lines += [(name.replace("_", " "), examples[name][:MAX_IMAGES]) for name in shown]
    return gallery(label, lines, class_names(examples, len(lines[0][1])))


def _side(report: SpaceReport) -> str:
    means = report.wrong_over_blurred.values()
    if all(mean.low > 0 for mean in means):
        return "wrong images are worse"
    if all(mean.high < 0 for mean in means):
        return "blurred images are worse"
    return "neither is worse whichever codes are wrong"


def _seeds(report: SpaceReport) -> Cell:
    if report.seed_agreement is None or report.seed_movement is None:
        return Cell()
    return Cell(fixed(report.seed_agreement, 3), note=f"FID moves by {100 * report.seed_movement:.0f} %")


def _factor(mean: Mean) -> Cell:
    ends = ((fixed(2**end, 2)) for end in (mean.low, mean.high))
    return Cell(fixed(2**mean.mean, 2), note=f"[{', '.join(ends)}]")


def _with_interval(mean: Mean, note: str) -> Cell:
    return Cell(fixed(mean.mean, 2), note=f"[{fixed(mean.low, 2)}, {fixed(mean.high, 2)}], {note}")
