"""An image set whose pixels are never read: for training on ids that were computed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import LongTensor, Tensor

from sftok.data.base import ImageSet
from sftok.data.transforms import Crop


@dataclass(frozen=True, eq=False)
class WithoutPixels:
    """An `ImageSet` with another's labels, places and fingerprint, whose images are 0 pixels large.

    Decoding a million files an epoch that nobody looks at would take most of the time.
    """

    of: ImageSet

    @property
    def name(self) -> str:
        """See `ImageSet`."""
        return self.of.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `ImageSet`."""
        return self.of.class_names

    @property
    def num_classes(self) -> int:
        """See `ImageSet`."""
        return self.of.num_classes

    @property
    def fingerprint(self) -> str:
        """See `ImageSet`."""
        return self.of.fingerprint

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.of)

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """For `indices` (int64 [n]), uint8 [n, 3, 0, 0]."""
        return torch.empty(len(indices), 3, 0, 0, dtype=torch.uint8)

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """As `images`."""
        return self.images(indices)

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """See `ImageSet`."""
        return self.of.labels(indices)
