"""The claims of a spec, written as orders of measured points: `sfvr@8 < vanilla@8`.

A point is `row[:metric][@coordinate,...]`. A coordinate is a number of decoding steps, or `key=value` for any
other column of the results (`step=3`, `context=own`, `visible=0.5`). The sign shows which side is claimed to
be smaller.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sftok.config import Config

Coordinate = str | int | float

_POINT = re.compile(r"(?P<row>[a-z0-9][a-z0-9._-]*)(:(?P<metric>\w+))?(@(?P<coordinates>[^\s@]+))?")
_ORDER = re.compile(r"\s*([<>])\s*")


class Point(Config):
    """One measured value of a claim, as a selection of lines of the results."""

    row: str
    metric: str
    """The metric to compare: the claim's, unless the point names its own."""
    coordinates: dict[str, Coordinate] = {}
    """Coordinates of the measurement by column; a metric that does not depend on `steps` applies to any."""


class Comparison(Config):
    """`left` is claimed to be smaller (`<`) or larger (`>`) than `right`."""

    left: Point
    right: Point
    sign: Literal["<", ">"]


class Claim(Config):
    """A sentence of the paper that the rows can support or contradict."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    text: str
    source: str
    metric: str = "rfid"
    order: tuple[str, ...]
    """The claim holds if all of these orders do; `a < b < c` stands for `a < b` and `b < c`."""

    @field_validator("order", mode="before")
    @classmethod
    def _allow_one(cls, order: object) -> object:
        return (order,) if isinstance(order, str) else order

    @field_validator("order")
    @classmethod
    def _can_be_read(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        if not order:
            raise ValueError("a claim needs at least one order, such as 'sfvr@8 < vanilla@8'")
        for each in order:
            _parse(each, "")
        return order

    @model_validator(mode="after")
    def _has_its_own_metric(self) -> Self:
        found = {point.metric for each in self.comparisons for point in (each.left, each.right)}
        if self.metric not in found:
            raise ValueError(f"{self.name}: no point is measured by {self.metric}; set metric={min(found)!r}")
        return self

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """The pairs that the claim compares, in the order written."""
        return tuple(pair for each in self.order for pair in _parse(each, self.metric))


def _parse(order: str, metric: str) -> list[Comparison]:
    parts = _ORDER.split(order.strip())
    if len(parts) < 3:
        raise ValueError(f"{order!r}: write an order of points, such as 'sfvr@8 < vanilla@8'")
    points = [_point(text, metric, order) for text in parts[::2]]
    signs = parts[1::2]
    return [
        Comparison.model_validate({"left": left, "right": right, "sign": sign})
        for (left, right), sign in zip(pairwise(points), signs, strict=True)
    ]


def _point(text: str, metric: str, order: str) -> Point:
    match = _POINT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} in {order!r} is not a point: write row, row@8, row:metric@step=3")
    coordinates: dict[str, Coordinate] = {}
    for part in match["coordinates"].split(",") if match["coordinates"] else ():
        key, equals, value = part.rpartition("=")
        if not value or (equals and not key.isidentifier()):
            raise ValueError(f"{part!r} in {order!r} is not a coordinate: write 8, step=3 or context=own")
        coordinates[key or "steps"] = _value(value)
    return Point(row=match["row"], metric=match["metric"] or metric, coordinates=coordinates)


def _value(text: str) -> Coordinate:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
