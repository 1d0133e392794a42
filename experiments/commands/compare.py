"""`compare`: prints two evaluations side by side, with the differences of their protocols."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pandas as pd
from cyclopts import Parameter

from experiments.commands.options import DEFAULT_STORE, StorePath
from experiments.commands.wiring import Wired
from experiments.records.measurements import MeasuredSubject, measured_subjects
from experiments.store import Store
from sftok.config import ConfigError, choices_hint, flat

KnownEvaluation = Annotated[
    str, Parameter(help="the name of an artifact (or its beginning), or what was evaluated")
]


def compare(
    a: KnownEvaluation,
    b: KnownEvaluation,
    /,
    *,
    store: StorePath = DEFAULT_STORE,
    format: Literal["text", "csv", "json"] = "text",
    wiring: Wired,
) -> None:
    """Print the numbers of two evaluations side by side and, on stderr, how their protocols differ."""
    subjects = measured_subjects(Store(store).root)
    one, other = (_found(name, subjects) for name in (a, b))
    differences = protocol_differences(one.protocol, other.protocol)
    if differences:
        print("not comparable: the protocols differ", file=sys.stderr)
        for name, (left, right) in differences.items():
            print(f"  {name}: {left} | {right}", file=sys.stderr)
    else:
        print(f"same protocol, {one.fingerprint[:16]}", file=sys.stderr)
    table = side_by_side(one, other)
    print(
        table.to_string(index=False, na_rep="") if format == "text" else wiring.export(table, format).rstrip()
    )


def side_by_side(one: MeasuredSubject, other: MeasuredSubject) -> pd.DataFrame:
    """One row per metric, feature space and decoding of either; the difference is second minus first."""
    keys = ["metric", "extractor", "at"]
    left, right = (each.frame.set_index(keys)["value"] for each in (one, other))
    order = left.index.append(right.index).drop_duplicates()
    table = pd.DataFrame({"a": left.reindex(order), "b": right.reindex(order)})
    return table.assign(difference=table["b"] - table["a"]).reset_index(names=keys)


def protocol_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields in which two protocols differ, by dotted key; a missing field is None."""
    left, right = flat(dict(one)), flat(dict(other))
    names = [name for name in dict.fromkeys([*left, *right]) if name != "fingerprint"]
    return {name: (left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)}


def _found(name: str, subjects: list[MeasuredSubject]) -> MeasuredSubject:
    matching = [each for each in subjects if each.name.startswith(name)]
    matching = matching or [
        each for each in subjects if each.label == name or each.label.endswith(f"/{name}")
    ]
    if not matching:
        known = [each.name for each in subjects] + [each.label for each in subjects]
        raise ConfigError(f"{name}: not evaluated here; {choices_hint(name, dict.fromkeys(known))}")
    if len(matching) > 1:
        listed = ", ".join(each.name for each in matching)
        raise ConfigError(f"{name}: was evaluated more than once ({listed}); name one of the artifacts")
    return matching[0]
