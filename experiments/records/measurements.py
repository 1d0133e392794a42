"""Evaluations that `evaluate` has stored."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.records.frame import table
from experiments.store import Result, StoreError, read_result
from sftok.metrics.quantity import Quantity

KINDS = ("measurement", "samples")
"""The kinds of artifacts that `evaluate` makes."""

COORDINATES = {"steps": "T", "quality": "q"}
"""Coordinates that distinguish decodings of one subject, with their symbols."""

CLASS = "class"
"""The coordinate of a number measured on a single class."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasuredSubject:
    """A finished evaluation.

    Attributes:
        name: name of the artifact.
        folder: folder of its files.
        result: the stored result.
    """

    name: str
    folder: Path
    result: Result

    @property
    def label(self) -> str:
        """Name or location of what was measured."""
        return str(self._subject.get("label", self.name))

    @property
    def kind(self) -> str:
        """Kind of the subject: `checkpoint`, `own`, `codec`, ..."""
        return str(self._subject.get("kind", "?"))

    @property
    def protocol(self) -> Mapping[str, Any]:
        """The protocol of its numbers, including the fingerprint."""
        return self.result.protocol

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the protocol."""
        return str(self.protocol.get("fingerprint", ""))

    @property
    def frame(self) -> pd.DataFrame:
        """One row per number: `at` (such as `T=8`, or empty), coordinates, metric, extractor, value.

        Numbers of single classes are excluded.
        """
        return of_all_classes(self._numbers)

    @property
    def classes(self) -> dict[str, pd.DataFrame]:
        """A `class_table` of single classes for each `at`."""
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
        """Descriptions of the metrics."""
        return {name: Quantity.model_validate(each) for name, each in self.result.metrics.items()}

    @property
    def _subject(self) -> Mapping[str, Any]:
        found = getattr(self.result, "subject", {})
        return found if isinstance(found, Mapping) else {}


def of_all_classes(numbers: pd.DataFrame) -> pd.DataFrame:
    """The numbers over all classes, without those of single classes."""
    return numbers[numbers[CLASS].isna()].drop(columns=CLASS) if CLASS in numbers else numbers


def class_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """One row per class and one column per metric (with its feature space), for one decoding."""
    of_classes = numbers[numbers[CLASS].notna()]
    spaces = of_classes["extractor"].map(lambda space: f" ({space})" if space else "")
    named = of_classes.assign(metric=of_classes["metric"] + spaces)
    columns = list(dict.fromkeys(named["metric"]))
    return named.pivot(index=CLASS, columns="metric", values="value")[columns].rename_axis(columns=None)


def measured_subjects(store: Path) -> list[MeasuredSubject]:
    """All finished evaluations of a store, latest first; unreadable ones are logged and left out."""
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


def _place(line: pd.Series) -> str:
    return next(
        (
            f"{short}={line[name]:g}"
            for name, short in COORDINATES.items()
            if name in line and pd.notna(line[name])
        ),
        "",
    )
