"""What `evaluate` has measured in a store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.records.frame import table
from experiments.store import Result, StoreError, read_json, read_result
from sftok.metrics.quantity import Quantity

KINDS = ("measurement", "samples")
"""The kinds of artifacts that `evaluate` makes."""

COORDINATES = {"steps": "T", "quality": "q"}
"""What decodings of one subject differ in, and how it is written."""

CLASS = "class"
"""The coordinate of a number that is of one class alone."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredSubject:
    """A finished evaluation.

    Attributes:
        name: of the artifact.
        folder: of its files.
        result: what was stored.
    """

    name: str
    folder: Path
    result: Result

    @property
    def label(self) -> str:
        """What was measured, as it was called or where it was."""
        return str(self._subject.get("label", self.name))

    @property
    def kind(self) -> str:
        """What it is: `checkpoint`, `own`, `codec`, ..."""
        return str(self._subject.get("kind", "?"))

    @property
    def protocol(self) -> Mapping[str, Any]:
        """What its numbers depend on, with their fingerprint."""
        return self.result.protocol

    @property
    def fingerprint(self) -> str:
        """Of the protocol."""
        return str(self.protocol.get("fingerprint", ""))

    @property
    def frame(self) -> pd.DataFrame:
        """A line for each number: `at` (such as `T=8`, or empty), coordinates, metric, extractor, value.

        The numbers of single classes are not among them.
        """
        return of_all_classes(self._numbers)

    @property
    def classes(self) -> dict[str, pd.DataFrame]:
        """The numbers of single classes, as `class_table`, by `at`."""
        numbers = self._numbers
        return {
            str(at): class_table(own)
            for at, own in numbers.groupby("at", sort=False)
            if CLASS in own and own[CLASS].notna().any()
        }

    @property
    def _numbers(self) -> pd.DataFrame:
        numbers = table([row.model_dump() for row in self.result.rows])
        return numbers.assign(at=[_place(line) for _, line in numbers.iterrows()])

    @property
    def metrics(self) -> dict[str, Quantity]:
        """What the metrics mean."""
        return {name: Quantity.model_validate(each) for name, each in self.result.metrics.items()}

    @property
    def _subject(self) -> Mapping[str, Any]:
        found = getattr(self.result, "subject", {})
        return found if isinstance(found, Mapping) else {}


def of_all_classes(numbers: pd.DataFrame) -> pd.DataFrame:
    """The numbers that are not of a single class."""
    return numbers[numbers[CLASS].isna()].drop(columns=CLASS) if CLASS in numbers else numbers


def class_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """A line for each class, a column for each metric (with its feature space), of one decoding."""
    of_classes = numbers[numbers[CLASS].notna()]
    spaces = of_classes["extractor"].map(lambda space: f" ({space})" if space else "")
    named = of_classes.assign(metric=of_classes["metric"] + spaces)
    columns = list(dict.fromkeys(named["metric"]))
    return named.pivot(index=CLASS, columns="metric", values="value")[columns].rename_axis(columns=None)


def measured_subjects(store: Path) -> list[MeasuredSubject]:
    """All finished evaluations of a store, the latest first; a line says which cannot be read."""
    found = []
    for kind in KINDS:
        for folder in sorted((store / "artifacts").glob(f"{kind}-*")):
            try:
                result = read_result(folder)
            except StoreError as error:
                log.warning("left out: %s", error)
                continue
            if result is not None:
                found.append(MeasuredSubject(folder.name, folder, result))
    return sorted(found, key=lambda each: each.result.provenance.started, reverse=True)


def stored_identity(folder: Path) -> dict[str, Any]:
    """The configuration that an artifact's key is a hash of.

    Raises:
        StoreError: the file is missing or damaged.
    """
    content = read_json(folder / "config.json")
    if content is None:
        raise StoreError(f"{folder / 'config.json'}: missing")
    return content


def _place(line: pd.Series) -> str:
    return next(
        (
            f"{short}={line[name]:g}"
            for name, short in COORDINATES.items()
            if name in line and pd.notna(line[name])
        ),
        "",
    )
