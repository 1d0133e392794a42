"""What a data set is to the rest of `sftok`: its configuration, its interface, and the in-memory form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import LongTensor, Tensor

from sftok.config import Config
from sftok.data.transforms import Crop

Split = Literal["train", "validation", "test"]

Selection = Callable[[Tensor], Tensor]
"""Which images of a source make up a split, and in which order: labels int64 [n] -> positions int64 [m].

A source calls it before it reads any pixels, so a small slice of a big set costs little.
"""


class DataError(RuntimeError):
    """A data set that cannot be used; the message is one line: what, where, and the remedy."""


class DataConfig(Config):
    """Which images, and how they are cut into splits.

    `validation` is taken out of the training images (`validation_images` of them, in proportion to the
    classes), so the test images stay untouched by model selection.
    """

    source: str = "fashion-mnist"
    """A name in `sftok.data.SOURCES`."""
    image_size: int = Field(default=28, ge=1)
    """Height and width in pixels; Fashion-MNIST has 28 only."""
    path: str | None = None
    """Where the images are; a folder (of images or shards) needs it, Fashion-MNIST is looked for without."""
    unreadable: Literal["fatal", "skip"] = "fatal"
    """What to do about an image file that cannot be decoded."""
    validation_images: int = Field(default=0, ge=0)
    limit: int | None = Field(default=None, ge=1)
    """At most so many images of each split, all classes among them if it is no less than their number."""


class ImageSet(Protocol):
    """Labelled images of one size, addressed by index."""

    @property
    def name(self) -> str:
        """A short name for logs, such as `fashion-mnist/train`."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of their labels."""

    @property
    def num_classes(self) -> int:
        """How many classes labels can name; a small set need not hold them all."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that `images` and `labels` depend on, their order included."""

    def __len__(self) -> int:
        """How many images there are."""

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Images of `indices` (int64 [n]) as uint8 [n, 3, H, W], contiguous and the caller's own."""

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """As `images`, but each image cut and mirrored as its crop (of n) says."""

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """Labels of `indices` (int64 [n]) as int64 [n]."""


@dataclass(frozen=True, eq=False)
class MemoryImageSet:
    """An `ImageSet` whose pixels are in memory.

    Attributes:
        name: see `ImageSet`.
        class_names: see `ImageSet`.
        pixels: uint8 [n, C, H, W]; C is 3, or 1 for grey images, which `images` returns as RGB.
        targets: int64 [n], the label of each image.
    """

    name: str
    class_names: tuple[str, ...]
    pixels: Tensor
    targets: Tensor

    @property
    def num_classes(self) -> int:
        """How many classes labels can name."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels, labels and class names."""
        digest = hashlib.sha256(repr((tuple(self.pixels.shape), self.class_names)).encode())
        digest.update(self.pixels.contiguous().numpy().data)
        digest.update(self.targets.contiguous().numpy().data)
        return digest.hexdigest()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.targets)

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Images of `indices` (int64 [n]) as uint8 [n, 3, H, W]."""
        # By NumPy, as `_read_ahead` asks.
        chosen = self.pixels.numpy()[indices.numpy()]
        if chosen.shape[1] == 1:
            chosen = np.repeat(chosen, 3, axis=1)
        return torch.from_numpy(chosen)

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Images of `indices`, mirrored where their crops say so; pixels of one size leave no more to cut."""
        chosen = self.images(indices).numpy()
        mirrored = np.array([crop.mirrored for crop in crops], dtype=bool)
        chosen[mirrored] = chosen[mirrored, :, :, ::-1]
        return torch.from_numpy(chosen)

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """Labels of `indices` (int64 [n]) as int64 [n]."""
        return self.targets[indices]
