"""Evaluates a feature space from the FIDs of distorted sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sftok.calibration.distortions import DISTORTIONS, MIXED, WRONG
from sftok.calibration.report import Mean, SpaceReport

Place = tuple[str, float]
"""A distorted set: distortion and strength."""

UNDISTORTED: Place = ("none", 0.0)

Distances = Mapping[Place, Mapping[int, NDArray[np.float64]]]
"""FID by set and number of images: one for each disjoint part with that many images."""


def mixture(kind: str) -> str:
    """The name of the mixtures of blurred images with images whose codes are wrong in this way."""
    return f"blurred_to_{kind}"


def report(space: str, seeds: Sequence[Distances], draw: int) -> SpaceReport:
    """Summarize FID in one space.

    Args:
        space: the label of the space.
        seeds: the distances in each network of the space; the first network is the measuring one.
        draw: the number of images in a draw, the largest.
    """
    own = seeds[0]
    more = {}
    if len(seeds) > 1:
        table = np.log([[each[place][draw].mean() for place in own] for each in seeds])
        scaled = table - table.mean(axis=1, keepdims=True)
        pairs = combinations(table, 2)
        more = {
            "seed_agreement": min(float(stats.spearmanr(one, other).statistic) for one, other in pairs),
            "seed_movement": float(scaled.std(axis=0, ddof=1).mean()),
        }
    return SpaceReport(
        space=space,
        rho={name: mean(_rho(own, name, draw)) for name in DISTORTIONS},
        right={name: _right(own, name) for name in DISTORTIONS},
        wrong_over_blurred={kind: mean(_side(own, kind, draw)) for kind in WRONG},
        sides_of_seeds={kind: [float(_side(each, kind, draw).mean()) for each in seeds] for kind in WRONG},
        **more,
    )


def mean(values: Sequence[float] | NDArray[np.float64]) -> Mean:
    """Return the mean of at least two values with its interval."""
    center, error = float(np.mean(values)), float(stats.sem(values))
    half = error * float(stats.t.ppf(0.975, len(values) - 1))
    return Mean(mean=center, low=center - half, high=center + half)


def _levels(name: str) -> list[Place]:
    return [UNDISTORTED, *((name, strength) for strength in DISTORTIONS[name].strengths)]


def _rho(distances: Distances, name: str, draw: int) -> list[float]:
    """Spearman's correlation for each draw."""
    table = np.stack([distances[place][draw] for place in _levels(name)])
    order = np.arange(len(table))
    return [float(stats.spearmanr(order, column).statistic) for column in table.T]


def _right(distances: Distances, name: str) -> dict[int, float]:
    sizes = distances[UNDISTORTED]
    steps = list(pairwise(_levels(name)))
    return {
        size: float(np.mean([distances[worse][size] > distances[better][size] for better, worse in steps]))
        for size in sizes
    }


def _side(distances: Distances, kind: str, draw: int) -> NDArray[np.float64]:
    """log2 of the ratio of FID of wrong images to that of blurred ones, by draw."""
    blurred, wrong = (distances[mixture(kind), share][draw] for share in (MIXED[0], MIXED[-1]))
    return np.log2(wrong / blurred)
