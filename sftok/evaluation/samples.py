"""The evaluation of saved generated images: their features against those of a reference."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.config import MeasuredConfig
from sftok.evaluation.examples import NUM_EXAMPLES
from sftok.evaluation.extractors.base import Extractor, check_asked
from sftok.evaluation.protocol import Evaluation, OnProgress, Protocol, networks, own_settings, rows_of
from sftok.evaluation.reference import OtherReference
from sftok.evaluation.workers import in_order
from sftok.metrics.base import Measured, MetricConfig, build_metrics
from sftok.metrics.fid import GFIDConfig
from sftok.metrics.inception_score import InceptionScoreConfig
from sftok.metrics.precision_recall import PrecisionRecallConfig


class SamplesConfig(MeasuredConfig):
    """How generated images are evaluated."""

    metrics: tuple[MetricConfig, ...] = (GFIDConfig(), InceptionScoreConfig(), PrecisionRecallConfig())

    provides = frozenset({"images", "features", "logits", "reference_features", "reference_set"})
    lacks = "which generated images do not have"


class SamplesProtocol(Protocol):
    """The protocol of saved samples; `n_images` counts them."""

    rounding: str = "as saved"
    pixel_metrics: str = "none"


def evaluate_samples(
    samples: ImageSet,
    reference: OtherReference,
    config: SamplesConfig,
    extractors: Sequence[Extractor],
    cache_dir: Path,
    *,
    on_progress: OnProgress = lambda fraction: None,
) -> Evaluation:
    """Compare generated images with a reference.

    Args:
        samples: the images.
        reference: what to compare with; metrics that need its single images are omitted if it has none.
        config: metrics and batch size.
        extractors: `config.extractors`, built.
        cache_dir: where features of the reference are cached.
        on_progress: called with the fraction done.

    Returns:
        Rows of subject `samples`, and the first images as examples `samples`.

    Raises:
        EvaluationError: the extractors or the reference do not fit the configuration.
        PretrainedError: published weights that a metric needs are missing.
    """
    check_asked(config.extractors, extractors)
    for metric in config.metrics:
        metric.check_weights()
    spaces = [reference.features(extractor, cache_dir, config.batch_size) for extractor in extractors]
    device = torch.device("cpu") if not extractors else extractors[0].device
    metrics = build_metrics(config.metrics, {"images", "reference_set"}, spaces, device)
    # Read here, because the first read of an image set may decode all of it.
    batches = map(samples.images, torch.arange(len(samples)).split(config.batch_size))
    done = 0
    for measured in in_order(partial(_measured, extractors), batches, device):
        for accumulator in metrics:
            accumulator.update(measured)
        assert measured.images is not None
        done += len(measured.images)
        on_progress(done / len(samples))
    protocol = SamplesProtocol(
        extractors=networks(extractors, metrics),
        data=reference.name,
        n_images=len(samples),
        reference="another set of images",
        metrics=own_settings(config.metrics),
        precision="none",
    )
    shown = samples.images(torch.arange(min(NUM_EXAMPLES, len(samples)))).numpy()
    rows = rows_of(metrics, "samples", len(samples))
    return Evaluation(rows, config.described, protocol, {"samples": shown})


def _measured(extractors: Sequence[Extractor], pixels: Tensor) -> Measured:
    features = {extractor.label: extractor(pixels) for extractor in extractors}
    return Measured(images=to_unit_range(pixels), features=features)
