"""The data of a run; each split is loaded once, on first use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from sftok.data import DataConfig, ImageSet, Split, load


class DataSets:
    """The splits of one data configuration."""

    def __init__(self, config: DataConfig):
        self.config = config
        self._loaded: dict[str, ImageSet] = {}

    def load(self, split: str) -> ImageSet:
        """The images of `split`: train, validation or test.

        Raises:
            DataError: the images cannot be used; the message says why, where and what to do.
        """
        if split not in self._loaded:
            self._loaded[split] = load(self.config, cast(Split, split))
        return self._loaded[split]

    def fingerprints(self, *splits: str) -> Mapping[str, str]:
        """Content hashes of the training split and of `splits`."""
        return {split: self.load(split).fingerprint for split in ("train", *splits)}

    def size(self, split: str) -> int:
        """The number of images in a split."""
        return len(self.load(split))

    def describe(self, split: str) -> str:
        """Name and sizes of the data, in readable form."""
        train, other = self.load("train"), self.load(split)
        return (
            f"{train.name}, {self.config.image_size}x{self.config.image_size}: "
            f"{len(train):,} training and {len(other):,} {split} images of {train.num_classes} classes"
        )
