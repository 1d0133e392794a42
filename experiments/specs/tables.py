"""Reads the paper's tables from tab-separated files."""

from __future__ import annotations

import csv
import importlib.resources
from collections.abc import Mapping
from typing import Any

from experiments.specs.experiment import Row, Setting


def read_table(package: str, file: str) -> list[dict[str, str]]:
    """The lines of a file in a package, as dictionaries keyed by the headings in its first line."""
    with (importlib.resources.files(package) / file).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_rows(
    package: str,
    file: str,
    metric: str,
    trained: Mapping[str, Mapping[str, Any]],
    apart: bool = False,
) -> tuple[Row, ...]:
    """Read the rows of a published table: name, label, the value of `metric`, a note, and a column per fact.

    The columns `file` and `source` name the weights that the authors released, if this package reads them.

    Rows in `trained` are run here, with the given fields; the others are shown as published. A row that is
    not in the paper leaves the rest of its line empty.
    """
    lines = read_table(package, file)
    if unknown := trained.keys() - {line["name"] for line in lines}:
        raise ValueError(f"{file} has no row {min(unknown)!r}")
    rows = []
    for line in lines:
        name, label, value, note, file, source = (
            line.pop(key, "") for key in ("name", "label", metric, "note", "file", "source")
        )
        fields = {
            "name": name,
            "label": label,
            "release": {"file": file, "source": source} if file else None,
            "published": {metric: float(value)} if value else {},
            "note": note,
            "apart": apart,
            "facts": {heading: fact for heading, fact in line.items() if fact},
        }
        rows.append(Row.build({**fields, **trained.get(name, {"trained": False})}))
    return tuple(rows)


def read_settings(package: str, file: str) -> tuple[Setting, ...]:
    """Read settings from a file of a package: category, parameter, three stages, key and note."""
    return tuple(
        Setting.build({"published": tuple(line.pop(f"stage {number}") for number in (1, 2, 3)), **line})
        for line in read_table(package, file)
    )
