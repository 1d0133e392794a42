"""The numbers of each class, for metrics that are means over images.

The Fréchet distance of single classes is omitted: for ImageNet's 50 validation images per class, its bias is
larger than the differences between classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.evaluation.protocol import Row, row
from sftok.metrics.accumulators import MeanOverImages
from sftok.metrics.base import Metric


def rows_of_classes(
    metrics: Iterable[Metric],
    values: Mapping[str, Tensor],
    image_set: ImageSet,
    subject: str,
    coordinates: Mapping[str, Any],
) -> list[Row]:
    """Return a row for each metric and class with images, with the coordinate `class`.

    Args:
        metrics: the metrics; those that are not means over images are skipped.
        values: values of each image, `[images]` by the metric's key.
        image_set: the originals.
        subject: the rows' `subject`.
        coordinates: the coordinates of the decoding.
    """
    labels = image_set.labels(torch.arange(len(image_set)))
    means = [metric for metric in metrics if isinstance(metric, MeanOverImages)]
    rows = []
    for label in labels.unique().tolist():
        own = labels == label
        at = {**coordinates, "class": image_set.class_names[label]}
        for metric in means:
            mean = values[metric.key][own].mean().item()
            rows.append(row(subject, metric.name, metric.extractor, mean, int(own.sum()), **at))
    return rows
