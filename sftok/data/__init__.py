"""Data sets: images and labels by index (`base`), their sources, and batches of them (`batches`).

A new source is a file with a `read` function, such as `fashion_mnist`, and an entry in `SOURCES`. Random
crops and flips belong to the batches, not to the image sets.
"""

from __future__ import annotations

from collections.abc import Callable

from sftok.config import ConfigError, choices_hint
from sftok.data import fashion_mnist, image_folder, image_shards
from sftok.data.augmentation import AugmentationConfig
from sftok.data.base import DataConfig, DataError, ImageSet, Selection, Split
from sftok.data.batches import Batch, ordered_batches, training_batches
from sftok.data.splits import selection

__all__ = [
    "SOURCES",
    "AugmentationConfig",
    "Batch",
    "DataConfig",
    "DataError",
    "ImageSet",
    "Split",
    "load",
    "ordered_batches",
    "training_batches",
]

Reader = Callable[[DataConfig, Split, Selection], ImageSet]

SOURCES: dict[str, Reader] = {
    "fashion-mnist": fashion_mnist.read,
    "folder": image_folder.read,
    "shards": image_shards.read,
}
"""The function that reads each source, by the name that `DataConfig.source` takes."""


def load(config: DataConfig, split: Split) -> ImageSet:
    """Load the images of a split, in a fixed, class-balanced order (`sftok.data.splits`).

    Raises:
        ConfigError: `config.source` is not in `SOURCES`.
        DataError: the data set cannot be used.
    """
    if config.source not in SOURCES:
        raise ConfigError(f"source = {config.source!r}: {choices_hint(config.source, SOURCES)}")
    return SOURCES[config.source](config, split, selection(config, split))
