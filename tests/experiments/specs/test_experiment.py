"""Specs are checked when they are built, and the published numbers are the paper's."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from plans import SPECS

from experiments.specs import Experiment, read_rows
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


def claim(order: str) -> dict[str, str]:
    return {"name": "c", "text": "t", "source": "s", "order": order}


@pytest.mark.parametrize(
    ("name", "row", "published", "facts"),
    [
        ("table1", "imagefolder", {"rfid": 0.80}, ("572 (286×2)", "4,096")),
        ("table1", "titok-b", {"rfid": 1.70}, ("64 (1d-tokenizer)", "4,096")),
        ("table1", "sftok-l", {"rfid": 1.21}, ("64 (1d-tokenizer)", "8,192")),
        ("table2", "dc-ae", {"gfid": 1.88}, ("diffusion",)),
        ("table2", "sftok-b", {"gfid": 2.32}, ("transformer",)),
        ("table3", "vanilla", {"rfid": 6.47}, ()),
        ("table4", "ratio-0.8", {"rfid": 4.59}, ()),
        ("table5", "sftok-b", {"hours_stages_1_2": 1224, "hours_stage_3": 1656, "hours_total": 2880}, ()),
    ],
)
def test_published_numbers(name: str, row: str, published: dict[str, float], facts: tuple[str, ...]) -> None:
    found = SPECS[name].row(row)
    assert found.published == published
    assert tuple(found.facts[heading] for heading in SPECS[name].facts) == facts


def test_printed_tables_are_whole_and_say_which_rows_are_run() -> None:
    published = {
        name: [row for row in SPECS[name].rows if row.published and not row.apart]
        for name in ("table1", "table2")
    }
    assert {name: len(rows) for name, rows in published.items()} == {"table1": 16, "table2": 8}
    assert all(row.trained for rows in published.values() for row in rows)
    assert not any(row.trained for row in SPECS["table1"].rows if row.apart)
    with pytest.raises(ValueError, match=r"table2\.tsv has no row 'sftok'"):
        read_rows("experiments.paper", "table2.tsv", "gfid", {"sftok": {}})


def test_table_2_is_about_the_tokenizers_of_table_1() -> None:
    of_table_1 = {row.name: row for row in SPECS["table1"].rows}
    generating = SPECS["table2"].rows
    assert all((row.trained, row.measures, row.steps) == (True, "generation", None) for row in generating)
    shared = [row for row in generating if row.name in of_table_1]
    assert [row.name for row in shared] == ["llamagen-l", "maskgit", "titok-b", "sftok-b", "sftok-l"]
    for row in shared:
        lender = of_table_1[row.name]
        assert (row.overrides, row.subject) == (lender.overrides, lender.subject)
        # LlamaGen's tokenizer has no variant there; here, it has a generator of its own.
        assert row.variants == (lender.variants or row.variants)
    of_table_2 = {row.name: row for row in generating}
    assert all(row == of_table_2[row.name] for row in SPECS["figure6"].rows)


@pytest.mark.parametrize("name", [*SPECS])
def test_every_spec_says_where_it_is_from_and_how_to_run_it(name: str) -> None:
    package = "ablations" if SPECS[name].kind == "ablation" else "experiments.paper"
    text = importlib.import_module(f"{package}.{name.replace('-', '_')}").__doc__ or ""
    assert f"python -m experiments run {name}" in text
    assert "Paper:" in text or package == "ablations"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ()}, "rows"),
        ({"rows": (ROW, ROW)}, "two rows are named 'a'"),
        ({"name": "No Spaces"}, "name"),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"claims": (claim("a@8 < b@8"),)}, "names the unknown row 'b'"),
        ({"rows": ({"name": "a"},)}, "row 'a' has no label"),
        ({"rows": ({**ROW, "trained": False, "overrides": {"x": 1}},)}, "nothing to override"),
        (
            {"rows": (ROW, {"name": "b", "label": "B", "trained": False}), "claims": (claim("a < b"),)},
            "needs the untrained row 'b'",
        ),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment.build({**BASE, **change})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "index"}, "this name is taken"),
        ({"name": "evaluate"}, "this name is taken"),
        ({"rows": ({"name": "teacher", "label": "mine"},)}, "a row cannot be named 'teacher'"),
    ],
)
def test_names_of_other_pages_and_of_references_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Experiment.build(BASE | changes)
