"""Verdicts for scripts and terminals say what the records say."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING

import pytest

from experiments.paper.table4 import EXPERIMENT
from experiments.paper.table6 import EXPERIMENT as WITHOUT_CLAIMS
from experiments.records.results import TableRun
from experiments.records.verdicts import cells, estimate
from reports.verdict_export import FIELDS, to_csv, to_json, to_markdown, to_text, verdict_rows

if TYPE_CHECKING:
    from conftest import FakeStore

CLASSIFIER, LITE = "classifier@28", "efficientnet-lite0@64"


def _with_value(run: TableRun, row: str, value: float) -> TableRun:
    """`run` with that value wherever `row` has an rFID."""
    rows = [
        each.model_copy(
            update={
                "results": tuple(
                    result.model_copy(update={"value": value}) if result.metric == "rfid" else result
                    for result in each.results
                )
            }
        )
        if each.row == row
        else each
        for each in run.rows
    ]
    return run.model_copy(update={"rows": tuple(rows)})


def test_a_row_is_a_comparison_in_a_feature_space(fake_store: FakeStore) -> None:
    run = fake_store.run()
    rows = verdict_rows(run)
    assert [(row.better, row.worse, row.extractor, row.primary) for row in rows] == [
        ("ratio-1.0", "ratio-0.8", CLASSIFIER, True),
        ("ratio-0.8", "ratio-0.5", CLASSIFIER, True),
        ("ratio-1.0", "ratio-0.8", LITE, False),
        ("ratio-0.8", "ratio-0.5", LITE, False),
    ]
    measured = cells(run)
    better, worse = (measured.values(row, 8, "rfid", CLASSIFIER) for row in ("ratio-1.0", "ratio-0.8"))
    expected = estimate([better[seed] - worse[seed] for seed in run.seeds])
    assert (rows[0].difference, rows[0].low, rows[0].high) == (expected.mean, expected.low, expected.high)
    assert (rows[0].better_steps, rows[0].worse_steps, rows[0].seeds) == (8, 8, (0, 1, 2))
    assert {(row.table, row.profile, row.metric) for row in rows} == {("table4", "cpu", "rfid")}


def test_csv_gives_every_field_back(fake_store: FakeStore) -> None:
    runs = [fake_store.run(), fake_store.run(seeds=(4,))]
    read = list(csv.DictReader(io.StringIO(to_csv(runs))))
    written = [row for run in runs for row in verdict_rows(run)]
    assert tuple(read[0]) == FIELDS
    assert [float(record["difference"]) for record in read] == [row.difference for row in written]
    assert [record["low"] for record in read] == [str(row.low) for row in written[:4]] + [""] * 4
    assert [record["seeds"] for record in read] == ["0 1 2"] * 4 + ["4"] * 4
    assert {record["outcome"] for record in read[4:]} == {"inconclusive"}


def test_json_is_valid_and_complete(fake_store: FakeStore) -> None:
    whole = fake_store.run()
    read = json.loads(to_json([whole, _with_value(whole, "ratio-0.5", math.nan)]), parse_constant=pytest.fail)
    assert read[:4] == [row.model_dump(mode="json") for row in verdict_rows(whole)]
    assert [record["difference"] is None for record in read[4:]] == [False, True, False, True]
    assert "not a finite number" in read[5]["reason"]


def test_the_text_has_each_claim_with_its_numbers_and_the_papers(fake_store: FakeStore) -> None:
    run = fake_store.run()
    first = verdict_rows(run)[0]
    text = to_text([run])
    lines = text.splitlines()
    assert lines[0] == "table4 (Table 4, Section 4.4), profile cpu, seeds 0, 1, 2"
    assert lines[1].endswith(f"{first.verdict}: {EXPERIMENT.claims[0].text}")
    assert "      SFTok-B, ratio 1.0 minus SFTok-B, ratio 0.8, T=8: −0." in text
    assert "; in the paper −0.26" in text
    assert f"    rFID ({LITE}): " in text
    assert "mean nothing" not in text


def test_the_text_of_what_is_missing_or_means_nothing(fake_store: FakeStore) -> None:
    waiting = fake_store.run(progress="waiting", meaningless=True, profile="smoke")
    text = to_text([waiting, fake_store.run(WITHOUT_CLAIMS)])
    assert "profile smoke, seeds 0, 1, 2; the numbers of this profile mean nothing" in text
    assert "… pending" in text
    assert "T=8: no number yet" in text
    assert "  makes no claim\n" in text


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"ratio-0.5": 3.0, "ratio-0.8": 2.0, "ratio-1.0": 1.0}, "one seed, as claimed"),
        ({"ratio-0.5": 2.5, "ratio-0.8": 3.0, "ratio-1.0": 1.0}, "one seed, the other way"),
        ({"ratio-0.5": 2.0, "ratio-0.8": 2.0, "ratio-1.0": 0.0}, "one seed, level"),
        ({"ratio-0.5": math.nan, "ratio-0.8": 2.0, "ratio-1.0": 0.0}, "inconclusive"),
    ],
)
def test_one_seed_points_a_way_if_all_its_comparisons_do(
    fake_store: FakeStore, values: dict[str, float], word: str
) -> None:
    run = fake_store.run(seeds=(0,))
    for row, value in values.items():
        run = _with_value(run, row, value)
    line = to_markdown([run]).splitlines()[2]
    assert line.endswith(f"| 1 | {word} |")
    assert f"rFID {-1 if 'as' in word else -2}".replace("-", "−") in line


def test_markdown_has_a_line_a_claim_in_the_primary_space(fake_store: FakeStore) -> None:
    text = to_markdown([fake_store.run(), fake_store.run(progress="waiting")])
    header, rule, whole, waiting = text.splitlines()
    assert header.count("|") == rule.count("|") == whole.count("|") == waiting.count("|")
    assert whole.startswith(f"| table4 | {EXPERIMENT.claims[0].text} | rFID −0.")
    assert whole.endswith("| 3 | **agrees** |")
    assert waiting.endswith("|  | 0 | pending |")


def test_a_claim_cannot_break_a_cell(fake_store: FakeStore) -> None:
    line = to_markdown([fake_store.hostile("a | b\nc")]).splitlines()[2]
    assert r"| a \| b c |" in line


def test_markdown_says_that_smoke_means_nothing(fake_store: FakeStore) -> None:
    assert "(the numbers of this profile mean nothing) |" in to_markdown([fake_store.run(meaningless=True)])
