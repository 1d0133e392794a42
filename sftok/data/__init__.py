"""Data sets: images and labels by index (`base`), where they come from, and batches of them (`batches`).

A new source is a file beside `fashion_mnist` with a `read` function, and an entry in `SOURCES`. What changes
with every look at an image (a random crop or flip) does not belong to an image set but to the batches.
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
"""How each source is read, by the name that `DataConfig.source` takes."""


def load(config: DataConfig, split: Split) -> ImageSet:
    """The images of a split, in a fixed, class-balanced order (`sftok.data.splits`).

    Raises:
        ConfigError: `config.source` is no source.
        DataError: the data set cannot be used.
    """
    if config.source not in SOURCES:
        raise ConfigError(f"source = {config.source!r}: {choices_hint(config.source, SOURCES)}")
    return SOURCES[config.source](config, split, selection(config, split))
