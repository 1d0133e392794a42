"""All numbers of a run as one tidy table, and functions to select from it.

Each line is one number. The columns are `table, profile, row, seed, subject, metric, extractor`, followed by
the coordinates (`steps`, `temperature`, and others that the results name: `step`, `context`, `visible`,
`positions` ...) and `value, n_images, artifact, protocol`. The last two are the key of the artifact that the
number comes from, and the fingerprint of its protocol. A coordinate that does not apply is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.records.costs import training_hours
from experiments.records.estimates import estimate
from experiments.records.run import REFERENCES, RowState
from experiments.records.training_log import log_lines
from experiments.store import StoreError

if TYPE_CHECKING:
    from experiments.records.run import Run

IDENTITY = ("table", "profile", "row", "seed", "subject", "metric", "extractor")
MEASUREMENT = ("value", "n_images", "artifact", "protocol")
COORDINATES = ("steps", "temperature")
"""Coordinates that every table has, before all others."""

LAST_SHARE = 0.1
"""The last part of a training curve, whose mean is the final value."""


def numbers(run: Run) -> pd.DataFrame:
    """Every number of the run: rows first, in their order, then references."""
    lines = [line for row in run.rows for line in (*_measured(run, row), *_of_training(run, row))]
    lines += _references(run)
    for line in lines:
        line.update(table=run.experiment.name, profile=run.request.profile)
    return table(lines)


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """The lines as a table with ordered columns; integers and missing values are preserved."""
    known = {*IDENTITY, *MEASUREMENT}
    further = dict.fromkeys(name for line in lines for name in line if name not in known)
    columns = [*IDENTITY, *dict.fromkeys([*COORDINATES, *further]), *MEASUREMENT]
    return pd.DataFrame({name: _column([line.get(name) for line in lines]) for name in columns})


def coordinates(frame: pd.DataFrame) -> list[str]:
    """The coordinate columns of a table."""
    return [name for name in frame.columns if name not in (*IDENTITY, *MEASUREMENT)]


def select(frame: pd.DataFrame, **wanted: Any) -> pd.DataFrame:
    """The lines with the wanted values by column; none if a column does not exist.

    A metric that does not depend on the number of steps applies to any: if no line has the wanted `steps`,
    lines without steps are selected.
    """
    kept = pd.Series(True, index=frame.index)
    steps = wanted.pop("steps", None)
    for name, value in wanted.items():
        if name not in frame:
            return frame.iloc[:0]
        kept &= frame[name] == value
    if steps is not None:
        at_steps = kept & (frame["steps"] == steps).fillna(False)
        kept = at_steps if at_steps.any() else kept & frame["steps"].isna()
    return frame[kept]


def by_seed(frame: pd.DataFrame) -> dict[int, float]:
    """The value of each seed, from lines that differ only in the seed.

    Raises:
        ValueError: a seed has several values.
    """
    found: dict[int, float] = {}
    for seed, value in zip(frame["seed"], frame["value"], strict=True):
        known = found.setdefault(int(seed), float(value))
        if known != value and not (math.isnan(known) and math.isnan(value)):
            raise ValueError(f"seed {seed} has several values, {known} and {value}")
    return found


def over_seeds(frame: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Mean and 95 % interval over seeds for each group of equal `by`, in order of appearance.

    The result has the columns `by` and `estimate`, an `Estimate`.

    Raises:
        ValueError: a seed has several values in one group.
    """
    groups = frame.groupby(list(by), sort=False, dropna=False)
    lines = [
        dict(zip(by, key, strict=True)) | {"estimate": estimate(list(by_seed(group).values()))}
        for key, group in groups
    ]
    return pd.DataFrame(lines, columns=[*by, "estimate"])


def _column(values: list[Any]) -> pd.Series:
    present = [value for value in values if value is not None]
    if present and all(type(value) is int for value in present):
        return pd.Series(values, dtype="int64" if len(present) == len(values) else "Int64")
    if all(type(value) in (int, float) for value in present):
        return pd.Series(values, dtype="float64")
    # Coordinates may be strings, and a damaged file may hold anything.
    plain = (int, float, str, type(None))
    return pd.Series([value if isinstance(value, plain) else str(value) for value in values], dtype=object)


def _measured(run: Run, row: RowState) -> Iterator[dict[str, Any]]:
    """The numbers of the row's subject; a teacher's evaluation also has numbers of the real images."""
    spec = run.experiment.row(row.row)
    subject = spec.subject if spec.measures == "reconstruction" else spec.measures
    for artifact in row.measurements:
        for line in _rows_of(run, artifact.name, artifact.key):
            if line["subject"] == subject:
                yield line | {"row": row.row, "seed": row.seed}


def _references(run: Run) -> Iterator[dict[str, Any]]:
    reference = next((each for each in run.artifacts if each.name == run.request.reference), None)
    for line in _rows_of(run, reference.name, reference.key) if reference else ():
        if line["subject"] in REFERENCES:
            yield line | {"row": line["subject"], "seed": 0}


def _rows_of(run: Run, name: str, key: str) -> Iterator[dict[str, Any]]:
    result = run.results.get(name)
    fingerprint = str(result.protocol.get("fingerprint", "")) if result else ""
    for number in result.rows if result else ():
        yield number.model_dump() | {"artifact": key, "protocol": fingerprint}


def _of_training(run: Run, row: RowState) -> Iterator[dict[str, Any]]:
    """The numbers of a row that come from its training instead of a measurement."""
    hours = training_hours(run, row) if run.experiment.costs else ()
    for line in (*_curve_ends(run, row), *hours):
        yield line | {
            "row": row.row,
            "seed": row.seed,
            "subject": "training",
            "extractor": "",
            "protocol": "",
        }


def _curve_ends(run: Run, row: RowState) -> Iterator[dict[str, Any]]:
    """The final values of the experiment's training curves, for finished stages of the row."""
    for curve in run.experiment.curves:
        stages = [stage for stage in row.training if stage.stage in curve.stages]
        if not stages or stages[-1].status != "done" or stages[-1].folder is None:
            continue
        try:
            lines = list(log_lines(stages[-1].folder))
        except StoreError:
            continue  # reported by `damaged_logs`
        stored = run.request.by_name[stages[-1].name]
        last = [line[curve.quantity] for line in lines if _is_last(line, curve.quantity, stored.units)]
        if last:
            yield {
                "metric": f"final_{curve.quantity}",
                "value": math.fsum(last) / len(last),
                "n_images": len(last) * stored.images // stored.units,
                "artifact": stages[-1].key,
            }


def _is_last(line: Mapping[str, Any], quantity: str, steps: int) -> bool:
    return isinstance(line.get(quantity), int | float) and line["step"] > (1 - LAST_SHARE) * steps


def damaged_logs(run: Run) -> list[str]:
    """A line with the remedy for each damaged training log that the experiment's curves need."""
    needed = {stage for curve in run.experiment.curves for stage in curve.stages}
    stages = {stage.name: stage for row in run.rows for stage in row.training if stage.stage in needed}
    problems = []
    for stage in stages.values():
        try:
            if stage.status == "done" and stage.folder:
                list(log_lines(stage.folder))
        except StoreError as error:
            problems.append(str(error))
    return problems


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines without coordinates other than the number of steps and the temperature."""
    further = [name for name in coordinates(frame) if name not in COORDINATES]
    return frame[frame[further].isna().all(axis="columns")]
