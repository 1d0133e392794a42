"""Rates: the median of several calls, after one that warms up."""

from __future__ import annotations

import time

import pytest

from sftok.device import CPU
from sftok.evaluation.speed import images_per_second


def test_slow_calls_at_the_start_and_in_between_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    seconds = iter([9.0, 0.5, 7.0, 0.5, 0.5, 0.5])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def work() -> None:
        clock[0] += next(seconds)

    assert images_per_second(work, images=8, device=CPU) == 16.0
