"""CSV, JSON and LaTeX say what the records say."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.paper.table4 import EXPERIMENT
from experiments.records.results import ResultRow
from reports.export import escape_latex, result_rows, to_csv, to_json, to_latex

if TYPE_CHECKING:
    from conftest import FakeStore


def _row(**changes: object) -> ResultRow:
    values = {
        "table": "table4",
        "row": "ratio-1.0",
        "seed": 0,
        "profile": "cpu",
        "steps": 8,
        "temperature": 0.0,
        "metric": "rfid",
        "extractor": "classifier@28",
        "value": 2.1500000000000004,
        "n_images": 10000,
        "artifact": "abc",
    }
    return ResultRow(**(values | changes))  # type: ignore[arg-type]


rows = st.builds(
    _row,
    extractor=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")),
    value=st.floats(allow_nan=False),
    steps=st.none() | st.integers(1, 256),
)


@given(st.lists(rows, max_size=4))
@settings(deadline=None)
def test_csv_gives_every_value_back(written: list[ResultRow]) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(written))))
    assert [float(record["value"]) for record in read] == [row.value for row in written]
    assert [record["extractor"] for record in read] == [row.extractor for row in written]
    assert [record["steps"] for record in read] == [
        "" if row.steps is None else str(row.steps) for row in written
    ]


def test_csv_has_a_header_even_without_rows() -> None:
    header = "table,row,seed,profile,steps,temperature,metric,extractor,value,n_images,artifact\n"
    assert to_csv([]) == header


def test_json_is_valid_and_complete() -> None:
    written = [_row(), _row(value=math.nan), _row(steps=None, temperature=None)]
    first, broken, reference = json.loads(to_json(written), parse_constant=pytest.fail)
    assert first == written[0].model_dump()
    assert broken["value"] is None
    assert reference["steps"] is None


def test_the_rows_of_a_run_include_the_references(fake_store: FakeStore) -> None:
    found = result_rows(fake_store.run(seeds=(0,)))
    assert len(found) == 3 * (5 * 6 + 1) + 5
    assert {row.row for row in found} == {"ratio-0.5", "ratio-0.8", "ratio-1.0", "teacher", "real"}


def test_latex_has_booktabs_one_line_a_row_and_bold_best(fake_store: FakeStore) -> None:
    text = to_latex(fake_store.run())
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 2 + 3 + 2, "two of the header, three rows, two references"
    assert {line.count("&") for line in lines} == {5}
    assert r"\textbf{4.33}" in text
    assert re.search(r"SFTok-B, ratio 1\.0 & .*\\textbf\{2\.\d+ \$\\pm\$ 0\.\d+\}", text)
    assert r"rFID $\downarrow$" in text
    assert "classifier@28" in text
    assert "Smoke" not in text
    assert text == to_latex(fake_store.run())


def test_latex_of_an_unfinished_smoke_run(fake_store: FakeStore) -> None:
    text = to_latex(fake_store.run(progress="waiting", meaningless=True, profile="smoke"))
    assert r"\textbf{Smoke run: the numbers are meaningless.}" in text
    assert "SFTok-B, ratio 0.5 & 4.96 & --" in text


@given(st.text())
@settings(deadline=None)
def test_latex_escapes_whatever_a_label_holds(text: str) -> None:
    escaped = escape_latex(text)
    commands = (
        r"\\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater)\{\}|\\[{}$&#%_]|\$.*?\$"
    )
    rest = re.sub(commands, "", escaped)
    assert not set(rest) & set("\\{}$&#%_^~<>\n")


def test_a_label_cannot_break_the_table(fake_store: FakeStore) -> None:
    odd = EXPERIMENT.rows[0].model_copy(update={"label": "100% & more_\\ {\nx}"})
    experiment = EXPERIMENT.model_copy(update={"rows": (odd, *EXPERIMENT.rows[1:])})
    text = to_latex(fake_store.run(experiment, requested="2025-01-01T00:00:00"))
    assert r"100\% \& more\_\textbackslash{} \{ x\} & 4.96" in text
