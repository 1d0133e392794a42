"""What an experiment is: data that names its rows, the published numbers and the claims it stands for.

A spec has no control flow and imports no torch. A row is an entry, not code: the overrides that make it
differ from the profile. See `experiments/paper/` for the specs themselves.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sftok.config import Config, choices_hint


class Row(Config):
    """One line of a table: a name, and how its configuration differs from the profile."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    label: str
    overrides: dict[str, Any] = {}
    published: dict[str, float] = {}
    """Published values by metric name, each where the spec's `source` says."""


class Point(Config):
    """One measured cell: a row at a number of decoding steps."""

    row: str
    steps: int = Field(ge=1)


class Comparison(Config):
    """`better` has a better value of the claim's metric than `worse`."""

    better: Point
    worse: Point


class Claim(Config):
    """A sentence of the paper that the rows can support or contradict."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    text: str
    source: str
    metric: str = "rfid"
    lower_is_better: bool = True
    comparisons: tuple[Comparison, ...] = Field(min_length=1)


class Experiment(Config):
    """A table or figure of the paper (or an ablation of ours), declaratively."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    kind: Literal["table", "figure", "ablation"]
    title: str
    source: str
    """Where it stands in the paper: `Table 4, Section 4.4`."""
    description: str
    rows: tuple[Row, ...] = Field(min_length=1)
    headline_steps: int = Field(default=8, ge=1)
    """The number of decoding steps at which the published values hold."""
    claims: tuple[Claim, ...] = ()

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        names = [row.name for row in self.rows]
        if duplicates := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.name}: two rows are named {duplicates[0]!r}")
        for claim in self.claims:
            for comparison in claim.comparisons:
                for point in (comparison.better, comparison.worse):
                    if point.row not in names:
                        hint = choices_hint(point.row, names)
                        raise ValueError(
                            f"{self.name}: claim {claim.name!r} names no row {point.row!r}; {hint}"
                        )
        return self

    def row(self, name: str) -> Row:
        """The row of that name.

        Raises:
            KeyError: no such row.
        """
        return next(row for row in self.rows if row.name == name)
