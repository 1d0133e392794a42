"""Claims are read as they are written, and what cannot be read is refused when a spec loads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.specs import Claim, Point
from sftok.config import ConfigError


def claim(order: object, metric: str = "rfid") -> Claim:
    return Claim.build({"name": "c", "text": "t", "source": "s", "metric": metric, "order": order})


def test_a_point_names_a_row_a_metric_and_what_it_is_measured_at() -> None:
    (pair,) = claim("ratio-1.0@8 < vanilla:cross_entropy@context=own,visible=0.5").comparisons
    assert pair.sign == "<"
    assert pair.left == Point(row="ratio-1.0", metric="rfid", coordinates={"steps": 8})
    assert pair.right == Point(
        row="vanilla", metric="cross_entropy", coordinates={"context": "own", "visible": 0.5}
    )


def test_a_chain_is_compared_pair_by_pair() -> None:
    pairs = claim(("a@8 < b@8 < c@8", "a > d@step=2")).comparisons
    assert [(pair.left.row, pair.sign, pair.right.row) for pair in pairs] == [
        ("a", "<", "b"),
        ("b", "<", "c"),
        ("a", ">", "d"),
    ]


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("a@8", "write an order of points"),
        ((), "at least one order"),
        ("a < ", "is not a point"),
        ("a b < c", "is not a point"),
        ("a:is < b:is", "no point is measured by rfid; set metric='is'"),
        ("a@ < b", "is not a point"),
        ("a@8, < b", "is not a coordinate"),
        ("a@step= < b", "is not a coordinate"),
        ("a@1x=3 < b", "is not a coordinate"),
    ],
)
def test_what_is_no_order_is_refused(order: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        claim(order)


@given(
    st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True),
    st.dictionaries(
        st.sampled_from(["steps", "step", "visible", "context"]),
        st.integers(1, 99) | st.sampled_from(["own", "true"]) | st.sampled_from([0.25, 0.5]),
    ),
)
def test_every_point_that_is_written_is_read_back(row: str, coordinates: dict[str, object]) -> None:
    at = ",".join(f"{key}={value}" for key, value in coordinates.items())
    (pair,) = claim(f"{row}{'@' if at else ''}{at} < other").comparisons
    assert (pair.left.row, pair.left.coordinates) == (row, coordinates)
