"""Specs, as data: experiments with their rows and claims, studies, and sweeps."""

from experiments.specs.claims import Claim, Comparison, Point
from experiments.specs.experiment import Curve, Experiment, FoundWeights, Gallery, Row, Setting
from experiments.specs.study import Choice, FloatRange, IntRange, MedianPruner, Objective, Sampler, Study
from experiments.specs.tables import read_rows, read_settings

__all__ = [
    "Choice",
    "Claim",
    "Comparison",
    "Curve",
    "Experiment",
    "FloatRange",
    "FoundWeights",
    "Gallery",
    "IntRange",
    "MedianPruner",
    "Objective",
    "Point",
    "Row",
    "Sampler",
    "Setting",
    "Study",
    "read_rows",
    "read_settings",
]
