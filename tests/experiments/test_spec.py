"""Specs are checked when they are built, and the published numbers are the paper's."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.paper import figure8, table3, table4
from experiments.spec import Experiment
from sftok.config import ConfigError

ROW = {"name": "a", "label": "A"}
BASE: dict[str, Any] = {
    "name": "x",
    "kind": "table",
    "title": "t",
    "source": "s",
    "description": "d",
    "rows": (ROW,),
}


def test_the_published_numbers() -> None:
    assert {row.name: row.published for row in table4.EXPERIMENT.rows} == {
        "ratio-0.5": {"rfid": 4.96},
        "ratio-0.8": {"rfid": 4.59},
        "ratio-1.0": {"rfid": 4.33},
    }
    assert {row.name: row.published for row in table3.EXPERIMENT.rows} == {
        "vanilla": {"rfid": 6.47},
        "sfvr": {"rfid": 4.40},
        "sfvr-warm-up": {"rfid": 4.33},
    }


@pytest.mark.parametrize("module", [table3, table4, figure8])
def test_every_spec_says_where_it_is_from_and_how_to_run_it(module: Any) -> None:
    assert f"python -m experiments run {module.EXPERIMENT.name}" in module.__doc__
    assert "Paper:" in module.__doc__
    assert module.EXPERIMENT.claims


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ()}, "rows"),
        ({"rows": (ROW, ROW)}, "two rows are named 'a'"),
        ({"name": "No Spaces"}, "name"),
        ({"colour": "red"}, "unknown key 'colour'"),
        (
            {
                "claims": (
                    {
                        "name": "c",
                        "text": "t",
                        "source": "s",
                        "comparisons": (
                            {"better": {"row": "a", "steps": 8}, "worse": {"row": "b", "steps": 8}},
                        ),
                    },
                )
            },
            "names no row 'b'",
        ),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment.build({**BASE, **change})
