"""The interface of data sets, their configuration, and data sets in memory."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import LongTensor, Tensor

from sftok.config import Config
from sftok.data.transforms import Crop

Split = Literal["train", "validation", "test"]

Selection = Callable[[Tensor], Tensor]
"""Which images of a source make up a split, in which order: labels int64 [n] -> positions int64 [m].

A source calls it before it reads any pixels, so a small slice of a large set costs little.
"""


class DataError(RuntimeError):
    """A data set that cannot be used; the message says in one line what is wrong, where, and what to do."""


class DataConfig(Config):
    """Which images to use, and how to cut them into splits.

    The validation split is `validation_images` of the training images, in proportion to the classes, so model
    selection does not see the test images.
    """

    source: str = "fashion-mnist"
    """A key of `sftok.data.SOURCES`."""
    image_size: int = Field(default=28, ge=1)
    """Height and width in pixels; Fashion-MNIST has only 28."""
    path: str | None = None
    """The folder of the images or shards; Fashion-MNIST is also found without it."""
    unreadable: Literal["fatal", "skip"] = "fatal"
    """What to do if an image file cannot be decoded."""
    validation_images: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=1)
    """Use at most this many images of each split, with every class if there are no more classes than that."""


class ImageSet(ABC):
    """Labeled images of one size, addressed by index.

    Attributes:
        name: a short name for logs, such as `fashion-mnist/train`.
        names: of the images: their paths, or their places in the source; empty if they have none.
        class_names: in the order of their labels.
        targets: int64 [n], the label of each image.
    """

    name: str
    names: tuple[str, ...] = ()
    class_names: tuple[str, ...]
    targets: Tensor

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that `images` and `labels` depend on, including the order."""

    @abstractmethod
    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Images of `indices` (int64 [n]) as uint8 [n, 3, H, W], a contiguous copy."""

    @abstractmethod
    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Like `images`, but with each image cropped and mirrored as its crop (of n) says."""

    @property
    def num_classes(self) -> int:
        """The number of classes; a small set need not contain them all."""
        return len(self.class_names)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.targets)

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """Labels of `indices` (int64 [n]) as int64 [n]."""
        return self.targets[indices]


@dataclass(frozen=True, eq=False)
class MemoryImageSet(ImageSet):
    """An `ImageSet` whose pixels are in memory.

    Attributes:
        pixels: uint8 [n, C, H, W]; C is 3, or 1 for gray images, which `images` returns as RGB.
    """

    name: str
    class_names: tuple[str, ...]
    pixels: Tensor
    targets: Tensor
    names: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels, labels and class names."""
        digest = hashlib.sha256(repr((tuple(self.pixels.shape), self.class_names)).encode())
        digest.update(self.pixels.contiguous().numpy().data)
        digest.update(self.targets.contiguous().numpy().data)
        return digest.hexdigest()

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Images of `indices` (int64 [n]) as uint8 [n, 3, H, W]."""
        # With NumPy, not torch: see `batches._read_ahead`.
        chosen = self.pixels.numpy()[indices.numpy()]
        if chosen.shape[1] == 1:
            chosen = np.repeat(chosen, 3, axis=1)
        return torch.from_numpy(chosen)

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Images of `indices`, mirrored where their crops say so; they already have the size of a crop."""
        chosen = self.images(indices).numpy()
        mirrored = np.array([crop.mirrored for crop in crops], dtype=bool)
        chosen[mirrored] = chosen[mirrored, :, :, ::-1]
        return torch.from_numpy(chosen)
