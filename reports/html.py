"""Renders parts as HTML. Jinja escapes every value; only markup created by reports passes through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.records import Run
from reports.charts import Chart
from reports.claims import MARKS, found, remedy_words, sentence
from reports.figures import swatch
from reports.numbers import rough_duration
from reports.pictures import Gallery
from reports.tables import Table


@dataclass(frozen=True)
class Note:
    """A paragraph of small print."""

    text: str
    kind: str = "small muted"


@dataclass(frozen=True)
class Charts:
    """Charts side by side under one legend, which is empty if another part has it."""

    charts: tuple[Chart, ...]
    legend: tuple[tuple[int, str], ...] = ()
    wide: bool = False
    """Whether each chart takes a full line."""


@dataclass(frozen=True)
class Facts:
    """A list of names and values."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Fold:
    """Parts folded under a summary."""

    summary: str
    parts: tuple[Part, ...]


Part = Note | Charts | Facts | Fold | Table | Gallery | Markup


def section(run: Run, title: str, *parts: Part) -> Markup:
    """A section of a page: a heading followed by its parts."""
    body = Markup("").join(_show(part, smoke(run)) for part in parts)
    return Markup("<h2>{}</h2>\n{}").format(title, body)


def rows_legend(run: Run) -> tuple[tuple[int, str], ...]:
    """The legend of charts with a line for each row."""
    return tuple((index, row.label) for index, row in enumerate(run.experiment.trained_rows))


def smoke(run: Run) -> str:
    """The warning that captions add for a run with meaningless numbers."""
    return " Smoke run: these numbers are meaningless." if run.request.meaningless else ""


def template(name: str, **values: Any) -> str:
    """Render the named template."""
    return environment().get_template(f"{name}.html.j2").render(**values)


def as_text(value: object) -> str:
    """Format a value of a stored record in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(part)}" for key, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(as_text, value))
    return str(value)


def config_text(config: Mapping[str, Any]) -> str:
    """A configuration as indented JSON; values unknown to JSON are shown as Python prints them."""
    return json.dumps(config, indent=2, default=str, ensure_ascii=False)


@cache
def environment() -> Environment:
    """The Jinja environment with this package's templates and filters."""
    made = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["moment"] = lambda iso: f"{datetime.fromisoformat(iso):%d %b %Y, %H:%M %Z}".strip()
    made.filters["rough"] = rough_duration
    made.filters["percent"] = lambda share: f"{100 * share:.0f} %"
    made.filters["config"] = config_text
    made.filters["svg"] = Markup
    made.filters["sentence"] = sentence
    made.filters["remedy"] = remedy_words
    made.globals |= {"marks": MARKS, "found": found}
    made.globals["swatch"] = lambda index: Markup(swatch(index))
    return made


def _show(part: Part, caution: str) -> Markup:
    if isinstance(part, Markup):
        return part
    macros = environment().get_template("macros.html.j2").module
    if isinstance(part, Fold):
        body = Markup("").join(_show(inner, caution) for inner in part.parts)
        return Markup(macros.fold(part.summary, body))  # type: ignore[attr-defined]
    return Markup(getattr(macros, type(part).__name__.lower())(part, caution))
