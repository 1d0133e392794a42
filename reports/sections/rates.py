"""What a fair comparison of tokenizers needs beside rFID: bits per image, size, speed and codebook use."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from experiments.records import Run
from experiments.records.frame import over_seeds, plain, select
from experiments.records.rates import bits_here, bits_published
from experiments.records.verdicts import feature_spaces
from reports.charts import Chart
from reports.html import Charts, Note, section
from reports.numbers import duration
from reports.scatter import Point, scatter_chart
from reports.sections.results import training_seconds
from reports.tables import Column, Group, Line, Table, texts

ORDER, TITLE = 95, "Rate, size and speed"

MEASURED = ("parameters", "encoding_rate", "decoding_rate", "codebook_usage")

NOTE = (
    "Bits per image are the number of tokens times the bits of a token, log2 of the number of codes: the "
    "fair horizontal axis of Figure 1b, where token counts hide the size of the codebook. Published and "
    "measured values are on charts of their own, because feature space, images and image size differ."
)


def applies(run: Run) -> bool:
    """Whether rates of tokenizers are a result of the experiment."""
    return run.experiment.rates and any(
        row.measures == "reconstruction" for row in run.experiment.trained_rows
    )


def render(run: Run) -> Markup:
    """A line for each row, and the metric over the bits per image."""
    return section(run, TITLE, Note(NOTE), table(run), Charts(charts(run), wide=True))


def table(run: Run) -> Table:
    """Rates and costs as means over seeds."""
    columns = {metric: row_means(run, metric) for metric in MEASURED}
    lines = []
    for row in (row for row in run.experiment.rows if not row.apart):
        seconds = training_seconds(run, row.name)
        cells = (
            _bits(bits_published(row)),
            _bits(bits_here(run, row.name)),
            *(number_text(metric, columns[metric].get(row.name)) for metric in MEASURED),
            "" if seconds is None else duration(seconds),
        )
        lines.append(Line(row.label, texts(cells), muted=not row.trained))
    caption = (
        "Bits per image as published and here; parameters of all that encodes and decodes, as far as "
        "gradients train them (a codebook that follows averages, as RQ-VAE's, or is given, as VQGAN-LC's, "
        "does not count); images per second of both, measured in this run; the share of the codebook that "
        "occurs in the evaluated images, of several codebooks together; training time per seed. Means over "
        "seeds."
    )
    return Table(
        caption,
        (
            Column("Row"),
            Column("Bits per image", ("in the paper",)),
            Column("Bits per image", ("here",)),
            Column("Parameters"),
            Column("Encoding", ("images/s",)),
            Column("Decoding", ("images/s",)),
            Column("Codebook usage"),
            Column("Training", ("per seed",)),
        ),
        (Group("", tuple(lines)),),
    )


def charts(run: Run) -> tuple[Chart, ...]:
    """The published metric over the published bits, and ours over ours in each feature space."""
    metric = next((name for row in run.experiment.rows for name in row.published), "")
    if not metric:
        return ()
    rows = run.experiment.rows
    published = [
        Point(row.label, bits, row.published[metric], row.apart)
        for row in rows
        if metric in row.published and (bits := bits_published(row))
    ]
    heading = run.metric(metric).heading
    drawn = [scatter_chart(heading, "as published", published, "bits per image")]
    for space in feature_spaces(run, metric):
        means = row_means(run, metric, space)
        here = [
            Point(row.label, bits, means[row.name], False)
            for row in rows
            if row.name in means and (bits := bits_here(run, row.name))
        ]
        drawn.append(scatter_chart(heading, f"here, {space}", here, "bits per image"))
    return tuple(chart for chart in drawn if chart is not None)


def row_means(run: Run, metric: str, space: str = "") -> Mapping[str, float]:
    """Of each row at its number of decoding steps, over seeds."""
    numbers = select(plain(run.frame), metric=metric, extractor=space)
    at = numbers["row"].map({row.name: run.experiment.steps_of(row.name) for row in run.experiment.rows})
    kept: pd.DataFrame = numbers[numbers["steps"].isna() | (numbers["steps"] == at).fillna(False)]
    means = over_seeds(kept, "row")
    return {
        row: each.mean
        for row, each in zip(means["row"], means["estimate"], strict=True)
        if math.isfinite(each.mean)
    }


def _bits(bits: float | None) -> str:
    return "" if bits is None else f"{bits:,.0f}"


def number_text(metric: str, value: float | None) -> str:
    """A value of one of these metrics as a table shows it; nothing for None."""
    if value is None:
        return ""
    if metric == "codebook_usage":
        return f"{100 * value:.0f} %"
    if metric.endswith("parameters"):
        return f"{value / 1e6:.3g} M" if value >= 1e6 else f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
