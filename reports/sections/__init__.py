"""The sections of a page, one per file, found by scanning this folder.

A section is a module with

- `ORDER`: pages show sections in ascending order
- `TITLE`: its entry in the page's list of contents
- `applies(run) -> bool`: whether a page of this run has the section
- `render(run) -> Markup`: its HTML, usually made by `reports.html.section`

The module's name is the section's anchor. A user's own experiment file may also define sections, as a list
`SECTIONS` of objects with these attributes.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from markupsafe import Markup

from experiments.records import Run
from experiments.requests import StoredRequest
from experiments.specs.own_file import import_source
from sftok.config import ConfigError

log = logging.getLogger(__name__)


class Section(Protocol):
    """The interface of the modules in this folder."""

    ORDER: int
    TITLE: str

    def applies(self, run: Run) -> bool:
        """Whether a page of this run has the section."""

    def render(self, run: Run) -> Markup:
        """The HTML of the section."""


def ordered(own: Sequence[Section] = ()) -> list[Section]:
    """The sections of this folder and an experiment's own sections, in page order."""
    return sorted([*_found(), *own], key=lambda section: section.ORDER)


def of_own_file(request: StoredRequest, requests: Path) -> Sequence[Section]:
    """The `SECTIONS` of the user's own file that defines the experiment; empty, with a warning, if it fails.

    Args:
        request: request of the experiment.
        requests: folder of stored requests, with the copy of the file.
    """
    try:
        return getattr(import_source(request.source, requests), "SECTIONS", ())
    except ConfigError as error:
        log.warning("%s: the page lacks its own sections: %s", request.name, error)
        return ()


def anchor(section: Section) -> str:
    """The name of the section within a page."""
    return getattr(section, "__name__", type(section).__name__).rpartition(".")[2].replace("_", "-")


@cache
def _found() -> tuple[Section, ...]:
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}") for name in names)
