"""Measures how many of the teacher's codes a tokenizer predicts exactly."""

from __future__ import annotations

from typing import Self

from sftok.metrics.accumulators import ratio
from sftok.metrics.base import Measured, Metric, MetricConfig, Setup
from sftok.metrics.quantity import Quantity


class CodeAccuracyConfig(MetricConfig, name="code_accuracy"):
    """Share of decoded codes that equal the teacher's; measured if there is a teacher."""

    quantities = (
        Quantity(
            name="code_accuracy",
            label="Code accuracy",
            direction=1,
            meaning="share of the teacher's codes predicted exactly",
        ),
    )
    needs = frozenset({"codes"})

    def build(self, setup: Setup) -> CodeAccuracy:
        """Build the metric."""
        return CodeAccuracy()


class CodeAccuracy(Metric):
    """Share of decoded codes that equal the teacher's."""

    reads_pixels = False

    def reset(self) -> None:
        """Discard everything seen so far."""
        self.correct = 0
        self.count = 0

    def update(self, batch: Measured) -> None:
        """Count the matches of a batch.

        Raises:
            ValueError: the batch has no codes to compare.
        """
        if batch.codes is None or batch.teacher_codes is None:
            raise ValueError("code_accuracy compares teacher codes, and this batch has none")
        self.correct += int((batch.codes == batch.teacher_codes).sum())
        self.count += batch.codes.numel()

    def merge(self, other: Self) -> None:
        """Add the counts of `other`."""
        self.correct += other.correct
        self.count += other.count

    def compute(self) -> dict[str, float]:
        """Return `code_accuracy` in [0, 1]."""
        return {"code_accuracy": ratio(self.correct, self.count, "code_accuracy")}
