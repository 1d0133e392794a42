"""Charts: themed, self-contained, the same for equal data, readable whatever the values."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import figures
from reports.figures import MARKERS, NUM_COLOURS, Panel, Reference, Series, draw, swatch

STEPS = (1, 2, 4, 8, 16)


def _panel(*y: float, band: tuple[float | None, ...] = (), references: tuple[Reference, ...] = ()) -> Panel:
    x = tuple(map(float, STEPS[: len(y)]))
    return Panel((Series(0, x, y, band),), references, "decoding steps T", STEPS)


def _words(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_ticks_are_the_steps_and_colours_are_the_pages() -> None:
    svg = draw(_panel(3.0, 2.5, 2.2, 2.1, 2.0, band=(0.1, 0.1, 0.1, None, 0.2)))
    assert _words(svg)[:6] == ["1", "2", "4", "8", "16", "decoding steps T"]
    assert "var(--series-0)" in svg
    assert not re.search(r"#[0-9a-f]{6}", svg), "no colour but the page's"
    assert "http" not in svg
    assert "font-family" not in svg
    ElementTree.fromstring(svg)


def test_equal_data_give_equal_charts_and_ids_do_not_clash() -> None:
    first = draw(_panel(3.0, 2.0))
    draw.cache_clear()
    assert draw(_panel(3.0, 2.0)) == first
    ids = [set(re.findall(r' id="([^"]+)"', draw(_panel(3.0, value)))) for value in (2.0, 2.5)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"url\(#([^)]+)\)", first)) <= ids[0]


@pytest.mark.parametrize("values", [(), (2.0,), (2.0, 2.0), (0.0, 0.0), (math.nan, 2.0), (1e-9, 1e9)])
def test_any_values_can_be_drawn(values: tuple[float, ...]) -> None:
    assert draw(_panel(*values)).startswith("<svg")


def test_references_are_lines_if_near_and_notes_if_far() -> None:
    references = (Reference("teacher", 1.5), Reference("real", 300.0))
    words = _words(draw(_panel(3.0, 2.0, references=references)))
    assert "teacher" in words
    assert "↑ real 300" in words
    assert "↓ teacher 1.5" in _words(draw(_panel(103.0, 102.0, references=references)))


def test_references_beyond_one_edge_share_a_line() -> None:
    far = (Reference("teacher", 8.06), Reference("real images", 8.31))
    words = _words(draw(_panel(7.70, 7.72, 7.74, references=far)))
    assert "↑ teacher 8.06   ↑ real images 8.31" in words


def test_a_huge_interval_does_not_flatten_the_curves() -> None:
    narrow, wide = (draw(_panel(3.0, 2.0, band=(half, half))) for half in (1.0, 1e6))
    assert _words(narrow) == _words(wide)


def test_tiny_values_have_their_power_of_ten_in_the_ticks() -> None:
    words = _words(draw(_panel(6e-6, 4e-6, 2e-6)))
    assert not {"1e−6", "1e-6"} & set(words)
    assert "4.0e-06" in words


def test_a_loss_curve_has_a_linear_axis() -> None:
    curve = Series(1, (0.0, 1500.0, 3000.0), (5.0, 4.0, 3.0), stage_ends=(1500.0,))
    words = _words(draw(Panel((curve,), x_label="training step")))
    assert "1k" in words
    assert "training step" in words


def test_rows_differ_by_more_than_colour() -> None:
    assert len(set(MARKERS)) == NUM_COLOURS
    assert len({swatch(index) for index in range(4 * NUM_COLOURS)}) == 4 * NUM_COLOURS
    shapes = {re.sub(r"--series-\d", "", swatch(index)) for index in range(4 * NUM_COLOURS)}
    assert len(shapes) == 4 * NUM_COLOURS


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


def test_a_band_is_as_wide_as_its_interval(axes: Axes) -> None:
    series = Series(0, (1.0, 2.0, 4.0), (3.0, 2.5, 2.2), (0.5, None, 0.25))
    figures._draw_series(axes, series, markers=True)
    (band,) = axes.collections
    corners = {(float(x), round(float(y), 9)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(1.0, 2.5), (1.0, 3.5), (4.0, 1.95), (4.0, 2.45)}


def test_the_limits_hold_the_bands_but_do_not_follow_a_wide_one(axes: Axes) -> None:
    figures._scale_y(axes, _panel(3.0, 2.0, band=(0.5, 0.5)))
    low, high = axes.get_ylim()
    assert 1.3 < low < 1.5
    assert 3.5 < high < 3.7
    figures._scale_y(axes, _panel(3.0, 2.0, band=(50.0, 0.5)))
    assert axes.get_ylim()[1] < 4.3


def test_steps_of_decoding_are_on_a_scale_of_powers_of_two(axes: Axes) -> None:
    figures._scale_x(axes, _panel(3.0, 2.5, 2.2, 2.1, 2.0))
    places = axes.transData.transform([(step, 0) for step in STEPS])[:, 0]
    gaps = places[1:] - places[:-1]
    assert gaps == pytest.approx([gaps[0]] * 4)
