"""Measures how well the class of an image can be predicted from its frozen token embeddings.

A linear classifier (logistic regression on standardized features) and k nearest neighbors (cosine) are fitted
to training images and tested on the evaluated ones, both by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sftok.data.base import ImageSet
from sftok.data.batches import ordered_batches
from sftok.evaluation.tokenizers import Reconstructor, Tokenizer, device_of
from sftok.evaluation.workers import in_order
from sftok.metrics.quantity import Quantity

MOST_IMAGES = 10_000
"""Maximum number of training images; the first ones are used, which are balanced over classes."""

MOST_FEATURES = 4096
"""Embeddings of all positions are concatenated up to this size; beyond it, they are averaged."""

NEIGHBORS = 20

QUANTITIES = (
    Quantity(
        name="linear_probe",
        label="Linear probe",
        direction=1,
        meaning="accuracy of a linear classifier on frozen token embeddings",
    ),
    Quantity(
        name="nearest_neighbors",
        label="kNN",
        direction=1,
        meaning=f"accuracy of {NEIGHBORS} nearest neighbors on frozen token embeddings",
    ),
)

Embed = Callable[[Tensor], Tensor]
"""Maps ids `[B, K]` to embeddings `[B, K, D]`."""


def embedding_of(measured: Tokenizer | Reconstructor) -> Embed | None:
    """Find how a tokenizer embeds its ids: its own `embed`, its quantizer or its codebook; otherwise None."""
    found: Any = measured
    if isinstance(measured, Reconstructor):
        return None
    if callable(getattr(found, "embed", None)):
        return found.embed
    if hasattr(found, "quantizer"):
        return found.quantizer.lookup
    if hasattr(found, "pixel_decoder"):
        return lambda ids: found.pixel_decoder.codebook[ids]
    return None


def probe(
    measured: Tokenizer, embed: Embed, training_set: ImageSet, image_set: ImageSet, batch_size: int
) -> dict[str, float]:
    """Return both accuracies, by the names of `QUANTITIES`.

    Args:
        measured: the tokenizer, in evaluation mode.
        embed: see `embedding_of`.
        training_set: the images that the classifiers are fitted to; at most `MOST_IMAGES` are used.
        image_set: the test images, of the same classes.
        batch_size: batch size of the encoder.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler, normalize

    few = range(min(MOST_IMAGES, len(training_set)))
    known = _embedded(measured, embed, training_set, few, batch_size)
    labels = training_set.labels(torch.arange(len(few))).numpy()
    tested = _embedded(measured, embed, image_set, range(len(image_set)), batch_size)
    expected = image_set.targets.numpy()
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(known, labels)
    neighbors = KNeighborsClassifier(min(NEIGHBORS, len(known))).fit(normalize(known), labels)
    return {
        "linear_probe": float(linear.score(tested, expected)),
        "nearest_neighbors": float(neighbors.score(normalize(tested), expected)),
    }


def _embedded(
    measured: Tokenizer, embed: Embed, image_set: ImageSet, places: range, batch_size: int
) -> np.ndarray:
    device = device_of(measured)

    def run(images: Tensor) -> Tensor:
        found = embed(measured.encode(images)).flatten(2).float()
        joined = found.flatten(1) if found[0].numel() <= MOST_FEATURES else found.mean(dim=1)
        return joined.cpu()

    batches = ordered_batches(image_set, batch_size, places=places)
    return torch.cat(list(in_order(run, (batch.images.to(device) for batch in batches), device))).numpy()
