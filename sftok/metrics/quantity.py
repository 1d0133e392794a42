"""Describes a number for readers, tables and verdicts. Importing this module does not load torch."""

from __future__ import annotations

from typing import Literal

from sftok.config import Config


class Quantity(Config):
    """A number that is measured.

    The coordinates of a measurement (steps, context, class, ...) are never part of its name.
    """

    name: str
    label: str
    """Its name in a table or on an axis."""
    direction: Literal[-1, 0, 1] = 0
    """+1: higher is better, -1: lower is better, 0: neither."""
    unit: str = ""
    meaning: str
    """A phrase for readers who do not know it."""
    of_features: bool = False
    """Whether it depends on a feature space, which is then named with every such number."""

    @property
    def arrow(self) -> str:
        """The direction as in the paper's tables: `↓` if lower is better."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]

    @property
    def heading(self) -> str:
        """Label, unit and arrow."""
        unit = f"({self.unit})" if self.unit else ""
        return " ".join(part for part in (self.label, unit, self.arrow) if part)
