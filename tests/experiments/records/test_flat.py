"""Flat rows as CSV and JSON."""

import csv
import io
import json
import math

from experiments.records.flat import csv_text, json_text

ROWS = [
    {"name": 'a "quoted", long\nname', "value": 0.1 + 0.2, "steps": 8},
    {"name": "b", "value": math.nan, "steps": None},
    {"name": "c", "value": -math.inf, "steps": True},
]


def test_csv_is_read_back_with_every_digit() -> None:
    read = list(csv.DictReader(io.StringIO(csv_text(["name", "value", "steps"], ROWS), newline="")))

    assert [row["name"] for row in read] == [row["name"] for row in ROWS]
    assert float(read[0]["value"]) == ROWS[0]["value"]
    assert [row["steps"] for row in read] == ["8", "", "True"]


def test_csv_of_nothing_is_its_header() -> None:
    assert csv_text(["name", "value"], []) == "name,value\n"


def test_json_keeps_all_but_what_is_not_finite() -> None:
    assert json.loads(json_text(ROWS)) == [
        ROWS[0],
        {"name": "b", "value": None, "steps": None},
        {"name": "c", "value": None, "steps": True},
    ]
