"""Numbers as text."""

from __future__ import annotations

import math

import pytest

from experiments.records.verdicts import Estimate
from reports.numbers import (
    byte_size,
    decimals_for,
    decimals_that_tell_zero,
    duration,
    fixed,
    plus_minus,
    rough_duration,
)


def _estimate(mean: float, half_width: float | None = None) -> Estimate:
    return Estimate(n=1 if half_width is None else 3, mean=mean, half_width=half_width)


@pytest.mark.parametrize(
    ("mean", "half_width", "decimals"),
    [
        (413.2, None, 1),
        (16.5, None, 2),
        (2.18, 0.04, 2),
        (0.223, None, 3),
        (-0.0043, None, 4),
        (2e-4, None, 5),
        (1e-9, None, 5),
        (2.18, 0.004, 3),
        (2.18, 1e-9, 4),
    ],
)
def test_a_column_has_the_digits_it_needs(mean: float, half_width: float | None, decimals: int) -> None:
    assert decimals_for([_estimate(mean, half_width)]) == decimals


@pytest.mark.parametrize(
    ("decimals", "values", "enough"),
    [
        (3, [0.02, 0.0004, 0.0396], 4),
        (2, [1.2, -0.004, 2.4], 3),
        (2, [1.2, 0.0, math.nan], 2),
        (2, [1e-9], 5),
        (2, [], 2),
    ],
)
def test_only_a_zero_reads_as_one(decimals: int, values: list[float], enough: int) -> None:
    assert decimals_that_tell_zero(decimals, values) == enough


def test_a_column_of_nothing_has_some_decimals() -> None:
    assert decimals_for([]) == decimals_for([_estimate(math.nan)]) == 3


def test_numbers_have_a_true_minus_sign() -> None:
    assert fixed(-0.256, 2) == "−0.26"
    assert fixed(0.256, 2, signed=True) == "+0.26"
    assert fixed(math.nan, 2) == "nan"
    assert fixed(-math.inf, 2) == "−∞"


def test_an_interval_is_shown_only_if_there_is_one() -> None:
    assert plus_minus(_estimate(2.176, 0.041), 2) == "2.18 ± 0.04"
    assert plus_minus(_estimate(2.176, 0.0), 2) == "2.18", "no seed changes it: its zero is no precision"
    assert plus_minus(_estimate(2.176), 2) == "2.18"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.24, "8.2 s"), (59.4, "59 s"), (725, "12 min 05 s"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12, "under a minute"),
        (700, "about 12 min"),
        (10_800, "about 3 h"),
        (9_000, "about 2.5 h"),
        (10**9, "about 32 years"),
    ],
)
def test_estimates_are_round(seconds: float, text: str) -> None:
    assert rough_duration(seconds) == text


def test_sizes() -> None:
    assert byte_size(512_000_000) == "512 MB"
    assert byte_size(1_900_000_000) == "1.9 GB"
