"""Confidence intervals of an evaluation's numbers by resampling its images (Efron 1979).

An interval is the value plus or minus 1.96 standard deviations over resamples. Quantiles are not used: the
Fréchet distance of resampled images is biased upwards, because some images occur twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sftok.evaluation.protocol import Row
from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import Metric, Reference
from sftok.metrics.fid import FrechetDistance, frechet_distance
from sftok.metrics.linear_algebra import moments
from sftok.randomness import generator

NORMAL_95 = 1.959964


def with_half_widths(
    rows: Sequence[Row],
    metrics: Sequence[Metric],
    values: Mapping[str, Tensor],
    resamples: int,
    seed: int,
    is_paired: bool,
) -> list[Row]:
    """Return the rows of `metrics`, each with its `half_width`, or None; see `half_widths`."""
    widths = half_widths(metrics, values, resamples, seed, is_paired)
    return [{**each, "half_width": widths.get((each["metric"], each["extractor"]))} for each in rows]


def half_widths(
    metrics: Sequence[Metric], values: Mapping[str, Tensor], resamples: int, seed: int, is_paired: bool
) -> dict[tuple[str, str], float]:
    """Half the width of the 95 % interval of each metric that can be resampled, by name and feature space.

    Args:
        metrics: metrics that have been updated with all images.
        values: values of each image, `[images]` by name, for the metrics that are means over images.
        resamples: number of resamples, the same for all metrics.
        seed: seed of the draws.
        is_paired: whether the reference is the originals, which are then resampled with their images.
    """
    draws = generator(seed, "bootstrap")
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(resamples):
        places: Tensor | None = None
        for metric in metrics:
            if isinstance(metric, MeanOverImages):
                places = _places(places, len(values[metric.key]), draws)
                value = values[metric.key][places].mean().item()
            elif isinstance(metric, FrechetDistance):
                places = _places(places, len(metric.features), draws)
                reference = _at(metric.reference, places) if is_paired else metric.reference
                value = frechet_distance(metric.features[places], reference)
            else:
                continue
            found.setdefault((metric.name, metric.extractor), []).append(value)
    return {
        key: NORMAL_95 * torch.tensor(each, dtype=torch.float64).std().item() for key, each in found.items()
    }


def _places(places: Tensor | None, images: int, draws: torch.Generator) -> Tensor:
    """Draw the images of a resample, once for all metrics."""
    return torch.randint(images, (images,), generator=draws) if places is None else places


def _at(reference: Reference, places: Tensor) -> Reference:
    features = reference.features[places]
    mean, covariance = moments(features)
    return Reference(reference.extractor, features, mean, covariance, reference.inception_score)
