"""Chooses the images that an evaluation keeps as examples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.evaluation.config import GenerationEvaluationConfig

NUM_EXAMPLES = 16


def balanced(image_set: ImageSet, count: int) -> Tensor:
    """Places, int64 `[min(count, images)]`, of the first image of every class, then the second ones, ..."""
    labels = image_set.labels(torch.arange(len(image_set)))
    # The rank of an image among those of its class, in the set's order.
    order = labels.argsort(stable=True)
    starts = torch.searchsorted(labels[order], labels[order])
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)) - starts)
    return (rank * image_set.num_classes + labels).argsort(stable=True)[:count]


def of_classes(labels: Tensor, image_set: ImageSet) -> dict[str, np.ndarray]:
    """Return the arrays stored with example images that name their classes."""
    return {"labels": labels.numpy(), "class_names": np.array(image_set.class_names)}


def example_labels(config: GenerationEvaluationConfig, num_classes: int) -> Tensor:
    """Return the classes whose samples are kept, int64 `[c]`, ascending and spread evenly over all."""
    sampled = min(num_classes, config.num_images)
    count = min(config.example_classes, sampled)
    return torch.arange(count) * sampled // count


def example_places(config: GenerationEvaluationConfig, num_classes: int) -> Tensor:
    """Return the samples that are kept, int64 `[n, c]`: a row has one sample per class of `example_labels`.

    There are `config.examples_per_class` rows, or fewer if each class has fewer samples.
    """
    lines = min(config.examples_per_class, max(1, config.num_images // num_classes))
    return example_labels(config, num_classes) + num_classes * torch.arange(lines).unsqueeze(1)
