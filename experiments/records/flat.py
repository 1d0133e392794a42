"""Flat rows as CSV and JSON: the forms in which scripts read results and verdicts."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_text(fields: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """One line a row under a header of `fields`; None is empty, floats keep every digit."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def json_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """An array with one object a row; a number that is not finite becomes null, as JSON has no NaN."""
    records = [{name: _finite(value) for name, value in row.items()} for row in rows]
    return json.dumps(records, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
