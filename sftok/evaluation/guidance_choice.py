"""Choosing a generator's guidance and temperature: the point of a grid with the lowest gFID.

The reference are training images, or images held out of them. Test images are for the number that is
reported, at the one point that is chosen here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sftok.data.base import ImageSet
from sftok.decoding.guidance import GenerationConfig
from sftok.evaluation.config import EvaluationError, GenerationEvaluationConfig
from sftok.evaluation.extractors import Extractor
from sftok.evaluation.generation import evaluate_generation
from sftok.evaluation.protocol import OnProgress
from sftok.evaluation.reference import reference_features
from sftok.generation import DecodeIds
from sftok.models.generator import MaskGITGenerator


@dataclass(frozen=True)
class GuidanceChoice:
    """What a grid gave.

    Attributes:
        points: each sampling with its gFID, in the order of the grid.
        chosen: the one of the lowest gFID; of equal ones the first.
    """

    points: list[tuple[GenerationConfig, float]]
    chosen: GenerationConfig


def choose_guidance(
    model: MaskGITGenerator,
    decode_ids: DecodeIds,
    reference_set: ImageSet,
    points: Sequence[GenerationConfig],
    config: GenerationEvaluationConfig,
    extractor: Extractor,
    cache_dir: Path,
    on_progress: OnProgress = lambda fraction: None,
) -> GuidanceChoice:
    """Sample at every point, with the same noise at each, and hold the samples against `reference_set`.

    Args:
        model: the generator.
        decode_ids: its ids to images; see `evaluate_generation`.
        reference_set: training or validation images.
        points: the samplings to choose among, not empty.
        config: number of images, batch size, precision, seed; the one extractor; its sampling is not read.
        extractor: that extractor, built.
        cache_dir: where features of the reference set are kept.
        on_progress: told the fraction done.

    Raises:
        EvaluationError: as `evaluate_generation`; or there are no points to choose among.
    """
    if not points:
        raise EvaluationError("no guidance to choose among: give the grid a scale and a temperature")
    found: list[tuple[GenerationConfig, float]] = []
    # Once for all points: of a training set it is gigabytes.
    reference = reference_features(extractor, reference_set, cache_dir, config.batch_size)
    for number, point in enumerate(points):
        told = _part(on_progress, number, len(points))
        own = config.model_copy(update={"generation": point})
        measured = evaluate_generation(
            model, decode_ids, reference_set, own, [extractor], cache_dir, told, [reference]
        )
        found.append((point, next(row.value for row in measured.rows if row.metric == "gfid")))
    return GuidanceChoice(found, min(found, key=lambda item: _order(item[1]))[0])


def _order(gfid: float) -> float:
    # What is not a number compares with nothing, and would win by standing first.
    return math.inf if math.isnan(gfid) else gfid


def _part(on_progress: OnProgress, number: int, count: int) -> Callable[[float], None]:
    return lambda fraction: on_progress((number + fraction) / count)
