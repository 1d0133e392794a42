"""What is asked for, as data: experiments with their rows and claims, studies, and sweeps."""

from __future__ import annotations

from experiments.specs.claims import Claim, Comparison, Point
from experiments.specs.experiment import Curve, Experiment, Gallery, Row, Setting, read_settings
from experiments.specs.study import Choice, FloatRange, IntRange, MedianPruner, Objective, Sampler, Study

__all__ = [
    "Choice",
    "Claim",
    "Comparison",
    "Curve",
    "Experiment",
    "FloatRange",
    "Gallery",
    "IntRange",
    "MedianPruner",
    "Objective",
    "Point",
    "Row",
    "Sampler",
    "Setting",
    "Study",
    "read_settings",
]
