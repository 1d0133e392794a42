"""Charts: themed, self-contained, the same for equal data, readable whatever the values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports import charts, figures
from reports.charts import POINTS, Axis, Chart, line_chart
from reports.figures import MARKERS, NUM_COLORS, swatch
from reports.losses import loss_chart, smoothed
from reports.sections.curves import drawn
from reports.sections.training import drawn as losses_drawn

if TYPE_CHECKING:
    from stored_runs import StoreMaker

STEPS = (1, 2, 4, 8, 16)
POWERS = Axis("decoding steps T", "powers")


def points(*y: float, x: Sequence[float] = STEPS, half_width: Sequence[float | None] = ()) -> pd.DataFrame:
    widths = half_width or [None] * len(y)
    rows = [("a", 0, float(at), value, half, False) for at, value, half in zip(x, y, widths, strict=False)]
    return pd.DataFrame(rows, columns=list(POINTS))


def chart(
    *y: float, axis: Axis = POWERS, references: Mapping[str, float] | None = None, **more: object
) -> Chart:
    made = line_chart("rFID", "here", points(*y, **more), axis, references or {})  # type: ignore[arg-type]
    assert made is not None
    return made


def words(*y: float, **more: object) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart(*y, **more).svg)  # type: ignore[arg-type]


def test_ticks_are_the_steps_and_colors_are_the_pages() -> None:
    svg = chart(3.0, 2.5, 2.2, 2.1, 2.0, half_width=(0.1, 0.1, 0.1, None, 0.2)).svg
    assert words(3.0, 2.5, 2.2, 2.1, 2.0)[:6] == ["1", "2", "4", "8", "16", "decoding steps T"]
    assert "var(--series-0)" in svg
    assert not re.search(r"#[0-9a-f]{6}", svg), "no color but the page's"
    assert "http" not in svg
    assert "font-family" not in svg
    ElementTree.fromstring(svg)


def test_equal_data_give_equal_charts_and_ids_do_not_clash() -> None:
    first = chart(3.0, 2.0).svg
    figures._drawn.clear()
    assert chart(3.0, 2.0).svg == first
    ids = [set(re.findall(r' id="([^"]+)"', chart(3.0, value).svg)) for value in (2.0, 2.5)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"url\(#([^)]+)\)", first)) <= ids[0]


@pytest.mark.parametrize("values", [(2.0,), (2.0, 2.0), (0.0, 0.0), (math.nan, 2.0), (1e-9, 1e9)])
@pytest.mark.parametrize("scale", ["powers", "even", "marked", "log", "linear"])
def test_any_values_can_be_drawn(values: tuple[float, ...], scale: str) -> None:
    assert chart(*values, axis=Axis("x", scale)).svg.startswith("<svg")  # type: ignore[arg-type]


def test_without_a_finite_value_there_is_no_chart() -> None:
    assert line_chart("t", "s", points(), POWERS, {}) is None
    assert line_chart("t", "s", points(math.nan), POWERS, {}) is None


def test_references_are_lines_if_near_and_notes_if_far() -> None:
    found = words(3.0, 2.0, references={"teacher": 1.5, "real": 300.0, "broken": math.nan})
    assert "teacher" in found
    assert "↑ real 300" in found
    assert not [each for each in found if "broken" in each]
    assert "↓ teacher 1.5" in words(103.0, 102.0, references={"teacher": 1.5})
    far = {"teacher": 8.06, "real": 8.31}
    assert "↑ teacher 8.06   ↑ real 8.31" in words(7.70, 7.72, 7.74, references=far), "in one line"


def test_a_huge_interval_does_not_flatten_the_curves() -> None:
    narrow, wide = (words(3.0, 2.0, half_width=(half, half)) for half in (1.0, 1e6))
    assert narrow == wide


def test_tiny_values_have_their_power_of_ten_in_the_ticks() -> None:
    found = words(6e-6, 4e-6, 2e-6)
    assert not {"1e−6", "1e-6"} & set(found)
    assert "4.0e-06" in found


def test_a_loss_curve_has_a_linear_axis() -> None:
    found = words(5.0, 4.0, 3.0, x=(0, 1500, 3000), axis=Axis("training step"))
    assert "1k" in found
    assert "training step" in found


def test_a_chart_says_where_its_lines_begin_and_end() -> None:
    made = chart(3.0, 2.5, 2.25, references={"teacher": 1.5})
    assert made.alternative == "rFID here over decoding steps T. a: 3 at 1, 2.25 at 4; teacher: 1.5."
    assert made.legend == ((0, "a"),)


def test_rows_differ_by_more_than_color() -> None:
    assert len(set(MARKERS)) == NUM_COLORS
    shapes = {re.sub(r"--series-\d", "", swatch(index)) for index in range(4 * NUM_COLORS)}
    assert len(shapes) == 4 * NUM_COLORS


@pytest.fixture
def axes() -> Axes:
    return Figure().add_subplot()


def test_a_band_is_as_wide_as_its_interval(axes: Axes) -> None:
    charts._draw_line(axes, points(3.0, 2.5, 2.2, half_width=(0.5, None, 0.25)), markers=True)
    (band,) = axes.collections
    corners = {(float(x), round(float(y), 9)) for x, y in band.get_paths()[0].vertices}
    assert corners == {(1.0, 2.5), (1.0, 3.5), (4.0, 1.95), (4.0, 2.45)}


def test_the_limits_hold_the_bands_but_do_not_follow_a_wide_one(axes: Axes) -> None:
    charts._scale_y(axes, points(3.0, 2.0, half_width=(0.5, 0.5)), 0.0, {})
    low, high = axes.get_ylim()
    assert 1.3 < low < 1.5
    assert 3.5 < high < 3.7
    charts._scale_y(axes, points(3.0, 2.0, half_width=(50.0, 0.5)), 0.0, {})
    assert axes.get_ylim()[1] < 4.3
    charts._scale_y(axes, points(0.5, 0.5001), 0.1, {})
    assert axes.get_ylim()[1] - axes.get_ylim()[0] > 0.1


def test_steps_of_decoding_are_on_a_scale_of_powers_of_two(axes: Axes) -> None:
    charts._scale_x(axes, points(3.0, 2.5, 2.2, 2.1, 2.0), POWERS)
    places = axes.transData.transform([(step, 0) for step in STEPS])[:, 0]
    gaps = places[1:] - places[:-1]
    assert gaps == pytest.approx([gaps[0]] * 4)


def test_smoothing_takes_the_mean_of_each_bin() -> None:
    found = smoothed(np.array([(0.0, 1.0), (1.0, 3.0), (1.5, math.inf), (2.0, 8.0)]), max_points=2)
    assert found.tolist() == [[0.5, 2.0], [2.0, 8.0]]


@given(st.lists(st.floats(-10, 10) | st.just(math.nan), max_size=300))
def test_smoothing_stays_within_the_losses_and_few_points(losses: list[float]) -> None:
    smooth = smoothed(np.array(list(enumerate(losses)), dtype=float).reshape(-1, 2), max_points=20)
    finite = [loss for loss in losses if math.isfinite(loss)]
    assert len(smooth) <= 20
    assert bool(len(smooth)) == bool(finite)
    if finite:
        assert min(finite) - 1e-9 <= smooth[:, 1].min()
        assert smooth[:, 1].max() <= max(finite) + 1e-9
        assert (np.diff(smooth[:, 0]) > 0).all()


def test_a_run_has_its_charts_over_steps(maker: StoreMaker) -> None:
    run = maker.run()
    found = drawn(run, of_features=True)
    assert [(each.title, each.subtitle) for each in found] == [
        ("rFID ↓", "classifier@28"),
        ("rFID ↓", "efficientnet-lite0@64"),
        ("IS ↑", "classifier@28"),
    ]
    assert [each.title for each in drawn(run, of_features=False)] == ["PSNR (dB) ↑"]
    assert "SFTok-B, ratio 0.5: 2." in found[0].alternative
    assert "teacher: 1.12" in found[0].alternative
    assert [label for _, label in found[0].legend] == [row.label for row in run.experiment.rows]


def test_losses_of_every_row_and_seed_stage_after_stage(maker: StoreMaker) -> None:
    run = maker.run()
    whole, closer = losses_drawn(run)
    assert whole.alternative.count("seed") == 9
    assert "SFTok-B, ratio 0.5, seed 0: " in whole.alternative
    last = re.search(r"ratio 1.0, seed 2: .* at \d+, [\d.]+ at (\d+)", whole.alternative)
    assert last
    assert int(last[1]) == pytest.approx(2500, abs=30)
    assert closer.subtitle == "second half, closer"
    assert min(map(float, re.findall(r"at (\d+),", closer.alternative))) >= 1240
    assert loss_chart(run, "t", "s", "unknown", ("alignment",)) is None
    assert losses_drawn(maker.run(seeds=(8,), progress="waiting")) == []
