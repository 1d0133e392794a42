"""The interface of data sets, their configuration, and in-memory data sets."""

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
"""Selects the images of a split and their order: labels int64 [n] -> positions int64 [m].

A source calls it before reading any pixels, so a small slice of a large set costs little.
"""


class DataError(RuntimeError):
    """A data set cannot be used; the one-line message gives the problem, its location and the remedy."""


class DataConfig(Config):
    """Which images to use, and how to split them.

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
    """Maximum number of images of each split; all classes are included if the limit allows."""


class ImageSet(ABC):
    """Labeled images of one size, addressed by index.

    Attributes:
        name: a short name for logs, such as `fashion-mnist/train`.
        names: names of the images: their paths or positions in the source; empty if they have none.
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
        """Return the images of `indices` (int64 [n]) as uint8 [n, 3, H, W], a contiguous copy."""

    @abstractmethod
    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Like `images`, but each image is cropped and mirrored according to its crop (of n)."""

    @property
    def num_classes(self) -> int:
        """The number of classes; a small set need not contain them all."""
        return len(self.class_names)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.targets)

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """Return the labels of `indices` (int64 [n]) as int64 [n]."""
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
        """Return the images of `indices` (int64 [n]) as uint8 [n, 3, H, W]."""
        # Uses NumPy, not torch; see `batches._read_ahead`.
        chosen = self.pixels.numpy()[indices.numpy()]
        if chosen.shape[1] == 1:
            chosen = np.repeat(chosen, 3, axis=1)
        return torch.from_numpy(chosen)

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Return the images of `indices`, mirrored as their crops say; they already have a crop's size."""
        chosen = self.images(indices).numpy()
        mirrored = np.array([crop.mirrored for crop in crops], dtype=bool)
        chosen[mirrored] = chosen[mirrored, :, :, ::-1]
        return torch.from_numpy(chosen)
