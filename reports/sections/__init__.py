"""The sections of a page, one per file, found by scanning this folder.

A section is a module with

- `ORDER`: pages show sections by ascending order
- `TITLE`: its entry in the page's list of contents
- `applies(run) -> bool`: whether a page of this run has it
- `render(run) -> Markup`: its HTML, usually made by `reports.html.section`

The name of the module is the section's anchor.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from typing import Protocol

from markupsafe import Markup

from experiments.records import Run


class Section(Protocol):
    """What a module of this folder provides; modules from elsewhere may join them."""

    ORDER: int
    TITLE: str

    def applies(self, run: Run) -> bool:
        """Whether a page of this run has the section."""

    def render(self, run: Run) -> Markup:
        """The HTML of the section."""


def ordered(further: Sequence[Section] = ()) -> list[Section]:
    """The sections of this folder and `further` ones, in the order of a page."""
    return sorted([*_found(), *further], key=lambda section: section.ORDER)


def anchor(section: Section) -> str:
    """The name of the section within a page."""
    return getattr(section, "__name__", type(section).__name__).rpartition(".")[2].replace("_", "-")


@cache
def _found() -> tuple[Section, ...]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)
