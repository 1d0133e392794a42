"""CSV, JSON and LaTeX say what the table of numbers says."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import with_rows

from experiments.paper.table4 import EXPERIMENT
from experiments.records.frame import table
from reports.export import escape_latex, to_csv, to_json, to_latex

if TYPE_CHECKING:
    from stored_runs import StoreMaker


def number(extractor: str = "a@28", value: float = 2.1500000000000004, **at: Any) -> dict[str, Any]:
    known = {"table": "t", "profile": "cpu", "row": "r", "seed": 0, "subject": "tokenizer", "metric": "rfid"}
    return (
        known
        | {"extractor": extractor, "value": value, "n_images": 10, "artifact": "k", "protocol": "p"}
        | at
    )


numbers = st.builds(
    number,
    extractor=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")),
    value=st.floats(),
    steps=st.none() | st.integers(1, 256),
)


@given(st.lists(numbers, max_size=4))
def test_csv_gives_every_value_back(written: list[dict[str, Any]]) -> None:
    read = list(csv.DictReader(io.StringIO(to_csv(table(written)))))
    assert [repr(float(record["value"])) for record in read] == [repr(line["value"]) for line in written]
    assert [record["extractor"] for record in read] == [line["extractor"] for line in written]
    steps = ["" if line["steps"] is None else str(line["steps"]) for line in written]
    assert [record["steps"] for record in read] == steps


def test_json_keeps_all_but_what_is_not_finite() -> None:
    written = [number(steps=8, temperature=0.0), number(value=math.nan), number(value=-math.inf, visible=0.5)]
    first, *others = json.loads(to_json(table(written)), parse_constant=pytest.fail)
    assert first == written[0] | {"visible": None}
    assert [(each["value"], each["steps"], each["visible"]) for each in others] == [
        (None, None, None),
        (None, None, 0.5),
    ]


def test_latex_has_the_headline_table(maker: StoreMaker) -> None:
    text = to_latex(maker.run())
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 2 + 3 + 2, "two of the header, three rows, two references"
    assert {line.count("&") for line in lines} == {5}
    assert r"\begin{tabular}{lrrrrr}" in text
    assert r"\textbf{4.33}" in text
    assert re.search(r"SFTok-B, ratio 1\.0 & .*\\textbf\{2\.\d+ \$\\pm\$ 0\.\d+\}", text)
    assert r"rFID $\downarrow$" in text
    assert "classifier@28" in text
    assert "Smoke" not in text


def test_latex_of_an_unfinished_smoke_run(maker: StoreMaker) -> None:
    text = to_latex(maker.run(progress="waiting", meaningless=True, profile="smoke"))
    assert r"\textbf{Smoke run: the numbers are meaningless.}" in text
    assert "SFTok-B, ratio 0.5 & 4.96 & --" in text


@given(st.text())
def test_latex_escapes_whatever_a_label_holds(text: str) -> None:
    commands = (
        r"\\(?:textbackslash|textasciicircum|textasciitilde|textless|textgreater)\{\}|\\[{}$&#%_]|\$.*?\$"
    )
    assert not set(re.sub(commands, "", escape_latex(text))) & set("\\{}$&#%_^~<>\n")


def test_a_label_cannot_break_the_table(maker: StoreMaker) -> None:
    odd = EXPERIMENT.rows[0].model_copy(update={"label": "100% & more_\\ {\nx}"})
    text = to_latex(maker.run(with_rows(EXPERIMENT, odd, *EXPERIMENT.rows[1:]), progress="waiting"))
    assert r"100\% \& more\_\textbackslash{} \{ x\} & 4.96" in text


def test_exports_wait_for_no_drawing_library() -> None:
    script = (
        "import sys, reports.export, reports.verdicts; "
        "sys.exit(str({'torch', 'matplotlib', 'PIL'} & set(sys.modules) or '') or 0)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
