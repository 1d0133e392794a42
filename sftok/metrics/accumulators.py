"""Shared by metrics: means of a value per image, and features that are collected until the end."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor

from sftok.metrics.base import Features, Measured, Metric, Reference


class MeanOverImages(Metric):
    """A value per image, averaged in float64."""

    name: str
    reads_pixels = False  # only the values per image are read

    def reset(self) -> None:
        """Discard everything seen so far."""
        self.total = 0.0
        self.count = 0

    @property
    def key(self) -> str:
        """Its name among values of images, with the feature space, if any."""
        return f"{self.name}@{self.extractor}" if self.extractor else self.name

    @abstractmethod
    def per_image(self, batch: Measured) -> Tensor:
        """Return the value of each image, `[B]`."""

    def update(self, batch: Measured) -> None:
        """Add the values of a batch, which may already be computed."""
        known = batch.values.get(self.key)
        values = self.per_image(batch).double() if known is None else known
        self.total += values.sum().item()
        self.count += len(values)

    def merge(self, other: Self) -> None:
        """Add the values of `other`."""
        self.total += other.total
        self.count += other.count

    def compute(self) -> dict[str, float]:
        """Return the mean over all images."""
        return {self.name: ratio(self.total, self.count, self.name)}


class OfFeatures(Metric):
    """A function of the features of all images in one feature space.

    Args:
        reference: the feature space, and the images to compare with.
    """

    reads_pixels = False

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.extractor = reference.extractor
        super().__init__()

    def reset(self) -> None:
        """Discard everything seen so far."""
        self.seen: list[Features] = []

    def update(self, batch: Measured) -> None:
        """Add the features of a batch."""
        self.seen.append(batch.features[self.extractor])

    def merge(self, other: Self) -> None:
        """Add the features of `other`."""
        self.seen += other.seen

    @property
    def features(self) -> Tensor:
        """All features, `[N, F]`.

        Raises:
            ValueError: fewer than two images were seen.
        """
        self._require_two()
        return torch.cat([part.features for part in self.seen])

    @property
    def logits(self) -> Tensor:
        """All logits, `[N, C]`.

        Raises:
            ValueError: fewer than two images were seen, or the feature space has no logits.
        """
        self._require_two()
        found = [part.logits for part in self.seen if part.logits is not None]
        if len(found) != len(self.seen):
            raise ValueError(f"{type(self).__name__}: {self.extractor} has no logits")
        return torch.cat(found)

    def _require_two(self) -> None:
        if sum(len(part.features) for part in self.seen) < 2:
            raise ValueError(f"{type(self).__name__} ({self.extractor}): fewer than two images were seen")


def ratio(total: float, count: int, name: str) -> float:
    """`total / count`.

    Raises:
        ValueError: `count` is 0; the message names the quantity.
    """
    if not count:
        raise ValueError(f"{name}: nothing was seen")
    return total / count
