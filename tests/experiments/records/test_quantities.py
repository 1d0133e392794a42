"""Names of what analyses measure: made, recognised, and said in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.records.quantities import (
    at_visible,
    is_of_step,
    is_quantity,
    of_step,
    place,
    visible_percent,
)


@given(st.integers(1, 99), st.sampled_from(["ce_own", "exposure_gap", "bound_second_pass"]))
def test_a_context_is_found_again_in_its_name(percent: int, quantity: str) -> None:
    assert visible_percent(at_visible(quantity, percent / 100)) == (quantity, float(percent))


def test_metrics_of_an_evaluation_are_no_quantities() -> None:
    assert not any(map(is_quantity, ("rfid", "final_loss", "code_accuracy", "hours_stages_1_2")))
    assert is_of_step(of_step("accuracy"))
    assert not is_of_step("ce_own_visible_50")


@pytest.mark.parametrize(
    ("metric", "steps", "named", "words"),
    [
        ("rfid", 8, False, "T=8"),
        ("rfid", None, True, ""),
        ("step_accuracy", 3, False, "step 3"),
        ("step_accuracy", 3, True, "with the truth, step 3"),
        ("ce_own_visible_25", None, True, "own codes (25 %)"),
        ("exposure_gap_visible_25", None, False, "25 % visible"),
        ("information_gain_visible_25", None, True, "information gain (25 %)"),
    ],
)
def test_a_place_in_words(metric: str, steps: int | None, named: bool, words: str) -> None:
    assert place(metric, steps, named) == words
