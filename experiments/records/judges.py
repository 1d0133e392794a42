"""The rule that selects the judges of a run from the calibration of its feature spaces (docs/protocol.md).

The rule is the same for every profile and data set. It ignores whether a space prefers blurred or wrong
images, because that is the question put to the judges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from sftok.calibration.report import SpaceReport

if TYPE_CHECKING:
    from experiments.records.run import Run

LEAST_RHO = 0.8
"""Minimum of the interval's lower end for Spearman's correlation with each distortion's strength."""

LEAST_SEED_AGREEMENT = 0.9
"""Minimum of Spearman's correlation between two seeds of a network over all distorted sets."""


@dataclass(frozen=True)
class Judges:
    """The feature spaces accepted and refused as judges.

    Attributes:
        calibrated: accepted spaces, best first; empty without a calibration, or if none passes.
        refused: the reason for each refused space.
    """

    calibrated: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether there is a calibration."""
        return bool(self.calibrated or self.refused)


def judges_of(run: Run) -> Judges:
    """The judges of a run; empty until the feature spaces are calibrated."""
    return choose(reports_of(run), run.request.trained_in)


def reports_of(run: Run) -> list[SpaceReport]:
    """The calibration's report on each space; empty without a readable calibration."""
    found = (run.calibration.model_extra or {}).get("spaces", ()) if run.calibration else ()
    try:
        return [SpaceReport.model_validate(each) for each in found]
    except ValidationError:
        return []


def choose(reports: Iterable[SpaceReport], trained_in: Iterable[str] = ()) -> Judges:
    """Apply the rule.

    Args:
        reports: one per space, in the profile's order, which breaks ties.
        trained_in: spaces whose network is part of a row's training loss.
    """
    reports, refused = list(reports), {}
    for report in reports:
        if problem := why_not(report):
            refused[report.space] = problem
        elif report.space in trained_in:
            refused[report.space] = "stage 3 trains with this network"
    passed = [report for report in reports if report.space not in refused]
    ranked = sorted(passed, key=discernment, reverse=True)
    return Judges(tuple(report.space for report in ranked), refused)


def why_not(report: SpaceReport) -> str:
    """The reason why a space fails the rule; empty if it passes."""
    # Constant features have no correlation (NaN), and are refused.
    worst = {name: -math.inf if math.isnan(rho.low) else rho.low for name, rho in report.rho.items()}
    name = min(worst, key=lambda each: worst[each])
    if worst[name] < LEAST_RHO:
        return f"FID does not follow {name.replace('_', ' ')}: rho {report.rho[name]}"
    agreement = report.seed_agreement
    if agreement is not None and not agreement >= LEAST_SEED_AGREEMENT:
        return f"two seeds of its network disagree: rho {agreement:.2f}"
    return ""


def discernment(report: SpaceReport) -> tuple[float, ...]:
    """How well FID distinguishes neighboring strengths in the worst case, by increasing number of images."""
    sizes = sorted({size for right in report.right.values() for size in right})
    return tuple(min(right[size] for right in report.right.values()) for size in sizes)
