"""What a fair comparison of generators needs besides gFID: size, steps and speed (Table 2)."""

from __future__ import annotations

from markupsafe import Markup

from experiments.records import Run
from reports.html import Note, section
from reports.numbers import duration
from reports.sections.rates import number_text, row_means
from reports.sections.results import training_seconds
from reports.tables import Column, Group, Line, Table, texts

ORDER, TITLE = 96, "Size and speed of the generators"

MEASURED = ("generator_parameters", "sampling_steps", "sampling_rate")

NOTE = (
    "Every generator is trained for the same number of steps with the same batch size. A sampling step is "
    "one pass of the network, over twice as many samples with guidance."
)


def applies(run: Run) -> bool:
    """Whether rates of generators are a result of the experiment."""
    return run.experiment.rates and any(row.measures == "generation" for row in run.experiment.trained_rows)


def render(run: Run) -> Markup:
    """A line for each row."""
    return section(run, TITLE, Note(NOTE), table(run))


def table(run: Run) -> Table:
    """Size, steps and speed as means over seeds."""
    columns = {metric: row_means(run, metric) for metric in MEASURED}
    lines = []
    for row in run.experiment.rows:
        seconds = training_seconds(run, row.name)
        cells = (
            row.facts.get("#Type", ""),
            *(number_text(metric, columns[metric].get(row.name)) for metric in MEASURED),
            "" if seconds is None else duration(seconds),
        )
        lines.append(Line(row.label, texts(cells), muted=not row.trained))
    caption = (
        "Parameters of the generator alone; steps per sample; images sampled and decoded per second under "
        "the chosen guidance, measured in this run; training time per seed, including the tokenizer's. "
        "Means over seeds."
    )
    return Table(
        caption,
        (
            Column("Row"),
            Column("Type"),
            Column("Parameters"),
            Column("Sampling steps"),
            Column("Sampling", ("images/s",)),
            Column("Training", ("per seed",)),
        ),
        (Group("", tuple(lines)),),
    )
