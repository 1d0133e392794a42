"""What a number is, for whoever shows or judges it. Importing this module does not load torch."""

from __future__ import annotations

from typing import Literal

from sftok.config import Config


class Quantity(Config):
    """A number that something measures.

    What it was measured at (steps, context, class, ...) is never part of its name.
    """

    name: str
    label: str
    """Its name in a table or on an axis."""
    direction: Literal[-1, 0, 1] = 0
    """+1: higher is better, -1: lower is better, 0: neither."""
    unit: str = ""
    meaning: str
    """One phrase for a reader who does not know it."""
    of_features: bool = False
    """Whether it depends on a feature space, which every such number names."""

    @property
    def arrow(self) -> str:
        """The direction as in the paper's tables: `↓` for lower is better."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]

    @property
    def heading(self) -> str:
        """Label, unit and arrow."""
        unit = f"({self.unit})" if self.unit else ""
        return " ".join(part for part in (self.label, unit, self.arrow) if part)
