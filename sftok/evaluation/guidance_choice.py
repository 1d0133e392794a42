"""Choosing a generator's guidance and temperature: the point of a grid with the lowest gFID.

The reference is training images, or images held out of them. Test images are only for the reported number, at
the one point that is chosen here.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sftok.data.base import ImageSet
from sftok.decoding.guidance import GenerationConfig
from sftok.evaluation.config import EvaluationError, GenerationEvaluationConfig
from sftok.evaluation.extractors.base import Extractor
from sftok.evaluation.generation import NotFiniteError, evaluate_generation
from sftok.evaluation.protocol import OnProgress, Progress
from sftok.evaluation.reference import reference_features
from sftok.generation import DecodeTokens
from sftok.generators.base import Generator
from sftok.metrics.fid import GFIDConfig


@dataclass(frozen=True)
class GuidanceChoice:
    """The results for a grid.

    Attributes:
        points: each sampling with its gFID, in the order of the grid.
        chosen: the sampling with the lowest gFID; the first of equal ones.
    """

    points: list[tuple[GenerationConfig, float]]
    chosen: GenerationConfig


def choose_guidance(
    model: Generator,
    decode: DecodeTokens,
    reference_set: ImageSet,
    points: Sequence[GenerationConfig],
    config: GenerationEvaluationConfig,
    extractor: Extractor,
    cache_dir: Path,
    on_progress: OnProgress = lambda fraction: None,
) -> GuidanceChoice:
    """Sample at every point, with the same noise at each, and compare the samples with `reference_set`.

    Args:
        model: the generator.
        decode: maps its tokens to images; see `evaluate_generation`.
        reference_set: training or validation images.
        points: the samplings to choose from, not empty.
        config: number of images, batch size, precision, seed and the single extractor; its sampling and
            metrics are ignored.
        extractor: that extractor, built.
        cache_dir: where features of the reference set are cached.
        on_progress: called with the fraction done.

    Raises:
        EvaluationError: as for `evaluate_generation`, or there are no points to choose from.
    """
    if not points:
        raise EvaluationError("no guidance to choose among: give the grid a scale and a temperature")
    found: list[tuple[GenerationConfig, float]] = []
    # Loaded once for all points: for a training set it takes gigabytes.
    reference = reference_features(extractor, reference_set, cache_dir, config.batch_size)
    progress = Progress(on_progress, [1] * len(points))
    for point in points:
        gfid = math.nan
        with contextlib.suppress(NotFiniteError):  # at this point only, if the guidance is too strong
            measured = evaluate_generation(
                model,
                decode,
                reference_set,
                config.model_copy(update={"generation": point, "metrics": (GFIDConfig(),)}),
                [extractor],
                cache_dir,
                references=[reference],
                on_progress=progress,
            )
            gfid = measured.rows[0]["value"]
        progress.next_phase()
        found.append((point, gfid))
    return GuidanceChoice(found, min(found, key=lambda item: _order(item[1]))[0])


def _order(gfid: float) -> float:
    # NaN compares as false with everything, and would win if it came first.
    return math.inf if math.isnan(gfid) else gfid
