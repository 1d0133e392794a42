"""Images in WebDataset shards (`shard_layout` and `shard_index` say of which form), addressed by index.

Unlike a stream of shards this needs no shuffle buffer: any image is one read away, so batches, splits and
resuming are those of any other image set.

With `unreadable = "skip"`, an image that cannot be decoded still counts towards `validation_images` and
`limit`, so leaving it out moves no other image.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sftok.data.base import DataConfig, DataError, Selection, Split
from sftok.data.encoded import EncodedImageSet, refuse_one_class, report_unreadable, root_folder
from sftok.data.shard_index import ShardIndex, index_of, read_member, split_name
from sftok.data.shard_layout import DESCRIPTION, LAYOUTS, description, shards_of

_WIDEST_NUMBERING = 1000
"""Times the number of classes: beyond it labels are no class numbers, but say WordNet's."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageShards(EncodedImageSet):
    """An `ImageSet` of members of .tar files.

    Attributes:
        shards: the files.
        shard: int64 [n], which of them each image is in.
        members: the images' names in them.
        offsets: int64 [n], where each begins, and
        sizes: int64 [n], its bytes.
        digests: uint8 [n, 32], SHA-256 of its content.
    """

    shards: tuple[Path, ...]
    shard: np.ndarray
    members: tuple[str, ...]
    offsets: np.ndarray
    sizes: np.ndarray
    digests: np.ndarray

    def key(self, place: int) -> str:
        """The sample's key."""
        return split_name(self.members[place])[0]

    def sha256(self, place: int) -> str:
        """Of the member's content (hex)."""
        return self.digests[place].tobytes().hex()

    def content(self, place: int) -> bytes:
        """The bytes of the member."""
        return read_member(self.shards[self.shard[place]], int(self.offsets[place]), int(self.sizes[place]))

    def lost(self, place: int, reason: str) -> DataError:
        """The shard was damaged, exchanged or removed."""
        return DataError(
            f"shards: {self.members[place]} in {self.shards[self.shard[place]]} is not what the index of the "
            f"shard says ({reason}); restore the shard, or delete its .index file if it was exchanged"
        )


def read(config: DataConfig, split: Split, select: Selection) -> ImageShards:
    """The images of a split of the shards in the folder `config.path`.

    Raises:
        DataError: there is no such folder or no shards in it, a shard is cut, damaged or incomplete, a key
            comes twice, a class is out of range or the only one, the images were made smaller than they are
            wanted, or (with `unreadable = "fatal"`) an image cannot be decoded.
    """
    root = root_folder(config, LAYOUTS)
    _refuse_smaller(config, root)
    shards = shards_of(root, split)
    indexes = [index_of(shard) for shard in shards]
    _refuse_duplicates(shards, indexes)
    class_names = _class_names(root, shards, indexes, split)
    refuse_one_class(config, root, class_names)
    labels = np.concatenate([index.labels for index in indexes])
    chosen = select(torch.from_numpy(labels)).numpy()
    shard = np.repeat(np.arange(len(shards)), [len(index.members) for index in indexes])
    members = [member for index in indexes for member in index.members]
    unreadable = _unreadable(shards, indexes)
    problems = [unreadable[place] for place in chosen.tolist() if place in unreadable]
    report_unreadable(config, root, problems, len(chosen))
    kept = np.array([place for place in chosen.tolist() if place not in unreadable], dtype=np.int64)
    logger.info("%s: %d images of %d classes (%s)", root, len(kept), len(class_names), split)
    return ImageShards(
        name=f"{root.name}/{split}",
        class_names=class_names,
        targets=torch.from_numpy(labels[kept]),
        image_size=config.image_size,
        shards=tuple(shards),
        shard=shard[kept],
        members=tuple(members[place] for place in kept.tolist()),
        offsets=np.concatenate([index.offsets for index in indexes])[kept],
        sizes=np.concatenate([index.sizes for index in indexes])[kept],
        digests=np.concatenate([index.digests for index in indexes])[kept],
    )


def _refuse_smaller(config: DataConfig, root: Path) -> None:
    known = description(root)
    if known is not None and known.size is not None and known.size < config.image_size:
        raise DataError(
            f"shards: {root} was made with --size {known.size}, and images of {config.image_size} pixels are "
            f"wanted; make shards with --size {config.image_size}, or set data.image_size={known.size}"
        )


def _refuse_duplicates(shards: Sequence[Path], indexes: Sequence[ShardIndex]) -> None:
    first: dict[str, Path] = {}
    for shard, index in zip(shards, indexes, strict=True):
        for key in index.keys:
            if key in first:
                raise DataError(
                    f"shards: the key {key!r} is in {first[key]} and in {shard}; one of the two is a copy: "
                    "remove it, or give every sample a key of its own"
                )
            first[key] = shard


def _class_names(
    root: Path, shards: Sequence[Path], indexes: Sequence[ShardIndex], split: Split
) -> tuple[str, ...]:
    """From `dataset.json`; without it the numbers up to the largest in the training shards."""
    known = description(root)
    if known is not None:
        names, origin = known.class_names, DESCRIPTION
    else:
        training = indexes if split != "test" else [index_of(shard) for shard in shards_of(root, "train")]
        labels = np.unique(np.concatenate([index.labels for index in training]))
        if labels[-1] >= _WIDEST_NUMBERING * len(labels):
            raise DataError(
                f"shards: {root}: {len(labels)} classes in training, numbered up to {labels[-1]}; "
                f"number them from 0, or name them all in {DESCRIPTION}"
            )
        names = tuple(map(str, range(1 + int(labels[-1]))))
        origin = "the training shards"
    for shard, index in zip(shards, indexes, strict=True):
        place = int(index.labels.argmax())
        if index.labels[place] >= len(names):
            raise DataError(
                f"shards: {shard}: the class of {index.members[place]} is {index.labels[place]}, but the "
                f"{len(names)} classes of {origin} end at {len(names) - 1}; number the "
                "classes from 0, alike in all shards"
            )
    return names


def _unreadable(shards: Sequence[Path], indexes: Sequence[ShardIndex]) -> dict[int, str]:
    """By place among all images, where each unreadable one is, and why."""
    problems: dict[int, str] = {}
    start = 0
    for shard, index in zip(shards, indexes, strict=True):
        for place, problem in index.problems.items():
            problems[start + place] = f"{shard}: {index.members[place]}: {problem}"
        start += len(index.members)
    return problems
