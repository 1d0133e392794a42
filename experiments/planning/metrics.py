"""Descriptions of a plan's metrics, for readers that do not load torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from experiments.artifacts.sampling_speed import SAMPLING
from experiments.artifacts.speed import QUANTITIES
from experiments.planning.plan import Plan
from sftok.analysis.base import AnalysisConfig
from sftok.config import ConfigError
from sftok.metrics.base import MetricConfig, describe
from sftok.metrics.quantity import Quantity

_HOURS = {
    "hours_stages_1_2": "Hours, stages 1 and 2",
    "hours_stage_3": "Hours, stage 3",
    "hours_total": "Hours in all",
}
"""The columns of Table 5."""


def described(plan: Plan) -> dict[str, dict[str, Any]]:
    """Descriptions of all measured, published or claimed metrics by name, in display order."""
    evaluation, generation = plan.recipe.evaluation, plan.recipe.generation
    known = describe(evaluation.metrics) | describe(generation.metrics)
    for name in plan.experiment.analyses:
        known |= {quantity.name: quantity.model_dump() for quantity in AnalysisConfig.find(name).quantities}
    known |= {quantity.name: quantity.model_dump() for quantity in _of_training(plan)}
    named = {metric for row in plan.experiment.rows for metric in row.published}
    named |= {claim.metric for claim in plan.experiment.claims}
    for metric in sorted(named - known.keys()):
        known |= _published(metric)
    return known


def _of_training(plan: Plan) -> Iterator[Quantity]:
    """Quantities that the harness itself measures or reads from logs and results of training."""
    if plan.experiment.rates:
        measured = {row.measures for row in plan.experiment.trained_rows}
        yield from QUANTITIES if "reconstruction" in measured else ()
        yield from SAMPLING if "generation" in measured else ()
    if plan.experiment.costs:
        meaning = "GPU hours in the paper, hours here"
        yield from (
            Quantity(name=name, label=label, direction=-1, meaning=meaning) for name, label in _HOURS.items()
        )
    for curve in plan.experiment.curves:
        words = curve.quantity.replace("_", " ").replace("gan", "GAN")
        words = words[0].upper() + words[1:]
        yield Quantity(
            name=f"final_{curve.quantity}",
            label=f"{words}, at the end",
            direction=-1,
            meaning=f"{words}: mean of the last tenth of the steps",
        )


def _published(metric: str) -> dict[str, dict[str, Any]]:
    """The description of a metric that is not measured here; an unknown one is labeled with its name."""
    try:
        return {metric: describe([MetricConfig.member_of(metric)])[metric]}
    except (ConfigError, KeyError):
        return {metric: Quantity(name=metric, label=metric, meaning="as published").model_dump()}
