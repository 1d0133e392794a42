"""Images in WebDataset shards (see `shard_layout` and `shard_index`), addressed by index.

Unlike a stream of shards, this needs no shuffle buffer: any image is one read away, so batches, splits and
resuming work as with any other image set. With `unreadable = "skip"`, an image that cannot be decoded still
counts toward `validation_images` and `limit`, so skipping it moves no other image.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sftok.data.base import DataConfig, DataError, Selection, Split
from sftok.data.encoded import EncodedImageSet, readable, refuse_one_class, root_folder
from sftok.data.shard_index import ShardIndex, index_of, read_member, split_name
from sftok.data.shard_layout import DESCRIPTION, LAYOUTS, description, shards_of

_WIDEST_NUMBERING = 1000
"""Multiple of the number of classes; larger labels are not class numbers, but perhaps those of WordNet."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageShards(EncodedImageSet):
    """An `ImageSet` of members of .tar files.

    Attributes:
        shards: the files.
        shard: int64 [n], the file of each image.
        entries: `ENTRY` [n], the position of each image in its file.
    """

    shards: tuple[Path, ...]
    shard: np.ndarray
    entries: np.ndarray

    def content(self, place: int) -> bytes:
        """Return the bytes of the member."""
        entry = self.entries[place]
        return read_member(self.shards[self.shard[place]], int(entry["offset"]), int(entry["size"]))

    def lost(self, place: int, reason: str) -> DataError:
        """Return the error for a shard that was damaged, replaced or removed."""
        return DataError(
            f"shards: {self.names[place]} in {self.shards[self.shard[place]]} does not match the shard's "
            f"index ({reason}); restore the shard, or delete its .index file if you replaced it"
        )


def read(config: DataConfig, split: Split, select: Selection) -> ImageShards:
    """Read the images of a split of the shards in the folder `config.path`.

    Raises:
        DataError: the folder does not exist or has no shards, a shard is truncated, damaged or incomplete, a
            key occurs twice, a class is out of range or the only one, the images were resized to less than
            `image_size`, or (with `unreadable = "fatal"`) an image cannot be decoded.
    """
    root = root_folder(config, LAYOUTS)
    _refuse_smaller(config, root)
    shards = shards_of(root, split)
    indexes = {shard: index_of(shard) for shard in shards}
    _refuse_duplicates(indexes)
    class_names = _class_names(root, indexes, split)
    refuse_one_class(config, root, class_names)
    members = [member for index in indexes.values() for member in index.members]
    entries = np.concatenate([index.entries for index in indexes.values()])
    shard = np.repeat(np.arange(len(shards)), [len(index.members) for index in indexes.values()])
    starts = np.searchsorted(shard, np.arange(len(shards)))
    problems = {
        int(start) + place: f"{path}: {index.members[place]}: {problem}"
        for start, (path, index) in zip(starts, indexes.items(), strict=True)
        for place, problem in index.problems.items()
    }
    chosen = select(torch.from_numpy(entries["label"].copy()))
    kept = readable(config, root, chosen, problems)
    logger.info("%s: %d images of %d classes (%s)", root, len(kept), len(class_names), split)
    return ImageShards(
        name=f"{root.name}/{split}",
        class_names=class_names,
        names=tuple(members[place] for place in kept.tolist()),
        targets=torch.from_numpy(entries["label"][kept]),
        digests=entries["digest"][kept],
        image_size=config.image_size,
        shards=tuple(shards),
        shard=shard[kept],
        entries=entries[kept],
    )


def _refuse_smaller(config: DataConfig, root: Path) -> None:
    known = description(root)
    if known is not None and known.size is not None and known.size < config.image_size:
        raise DataError(
            f"shards: {root} was made with --size {known.size}, but data.image_size = {config.image_size}; "
            f"make shards with --size {config.image_size}, or set data.image_size={known.size}"
        )


def _refuse_duplicates(indexes: Mapping[Path, ShardIndex]) -> None:
    first: dict[str, Path] = {}
    for shard, index in indexes.items():
        for key in (split_name(member)[0] for member in index.members):
            if key in first:
                raise DataError(
                    f"shards: the key {key!r} is in both {first[key]} and {shard}; give every sample its "
                    "own key, or move one shard elsewhere if it is a copy of the other"
                )
            first[key] = shard


def _class_names(root: Path, indexes: Mapping[Path, ShardIndex], split: Split) -> tuple[str, ...]:
    """Read the names from `dataset.json`, or use the numbers up to the largest in the training shards."""
    known = description(root)
    if known is not None:
        names, origin = known.class_names, DESCRIPTION
    else:
        training = map(index_of, shards_of(root, "train")) if split == "test" else indexes.values()
        labels = np.unique(np.concatenate([index.entries["label"] for index in training]))
        if labels[-1] >= _WIDEST_NUMBERING * len(labels):
            raise DataError(
                f"shards: {root}: {len(labels)} training classes, numbered up to {labels[-1]}; "
                f"number them from 0, or name them all in {DESCRIPTION}"
            )
        names = tuple(map(str, range(1 + int(labels[-1]))))
        origin = "the training shards"
    for shard, index in indexes.items():
        place = int(index.entries["label"].argmax())
        label = index.entries["label"][place]
        if label >= len(names):
            raise DataError(
                f"shards: {shard}: the class of {index.members[place]} is {label}, but the {len(names)} "
                f"classes of {origin} end at {len(names) - 1}; number the classes from 0, alike in all shards"
            )
    return names
