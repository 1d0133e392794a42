"""An image set whose pixels are never read, for training on precomputed ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import LongTensor, Tensor

from sftok.data.base import ImageSet
from sftok.data.transforms import Crop


class WithoutPixels(ImageSet):
    """An `ImageSet` with the labels, order and fingerprint of another, and images of 0x0 pixels.

    Decoding a million files per epoch that nobody looks at would take most of the time.

    Args:
        of: the other set.
    """

    def __init__(self, of: ImageSet) -> None:
        self.name, self.class_names, self.targets = of.name, of.class_names, of.targets
        self._of = of

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the other set."""
        return self._of.fingerprint

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Return uint8 [n, 3, 0, 0] for `indices` (int64 [n])."""
        return torch.empty(len(indices), 3, 0, 0, dtype=torch.uint8)

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Like `images`."""
        return self.images(indices)
