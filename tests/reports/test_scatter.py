"""Charts of named points: every name is there, none covers another, and nothing is invented."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from reports.scatter import Point, scatter_chart


def names(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_every_point_has_its_name_and_its_words() -> None:
    points = [Point("one", 768, 1.7), Point("two", 13_312, 1.28, apart=True)]
    chart = scatter_chart("rFID ↓", "as published", points, "bits per image")
    assert chart is not None
    assert {"one", "two", "bits per image"} <= set(names(chart.svg))
    assert "one: 1.7 at 768" in chart.alternative
    ElementTree.fromstring(chart.svg)


def test_names_of_points_in_one_place_do_not_cover_each_other() -> None:
    crowd = [Point(f"system {number}", 832, 1.5) for number in range(6)]
    chart = scatter_chart("rFID", "", [*crowd, Point("far", 9000, 3.0)], "bits")
    assert chart is not None
    found = re.findall(r'<text [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*>system', chart.svg)
    assert len(set(found)) == 6


def test_what_no_logarithm_has_is_left_out() -> None:
    assert (
        scatter_chart("rFID", "", [Point("zero", 64, 0.0), Point("none", 64, float("nan"))], "bits") is None
    )
