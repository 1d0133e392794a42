"""Finds the shards of each split among the .tar files of a folder, and reads the `dataset.json` beside them.

The split is in the names of the shards, `PATH/train-000000.tar` and `PATH/val-000000.tar` (or
`imagenet-train-0.tar` and the like), or in the names of their folders, `PATH/train/*.tar` and
`PATH/val/*.tar`. The held-out shards, also called `validation` or `test`, are the test split. The optional
`dataset.json` names the classes and gives the number of shards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from sftok.config import Config, ConfigError
from sftok.data.base import DataError, Split
from sftok.data.folder_layout import HELD_OUT_FOLDERS

DESCRIPTION = "dataset.json"
LAYOUTS = "PATH/train-000000.tar and PATH/val-000000.tar, or PATH/train/*.tar and PATH/val/*.tar"


class SplitSize(Config):
    """The size of a split."""

    images: int = Field(ge=0)
    shards: int = Field(ge=0)


class ShardsDescription(Config):
    """The content of `dataset.json`; shards made by other tools need only `class_names`."""

    class_names: tuple[str, ...] = Field(min_length=1)
    """Names in the order of the class numbers."""
    splits: Mapping[str, SplitSize] = {}
    """Sizes by the word in the names of the shards."""
    images_per_shard: int | None = None
    size: int | None = None
    """The short side that the images were resized to; None if they were not resized."""
    source: str | None = None
    """SHA-256 of the source of the shards: paths, classes and sizes of the image files."""


def shards_of(root: Path, split: Split) -> list[Path]:
    """Find the shards below `root` of which `split` is a part (for validation, those of train), sorted.

    Raises:
        DataError: there are no shards, their number differs from `dataset.json`, or a name fits two splits.
    """
    for word in HELD_OUT_FOLDERS if split == "test" else ("train",):
        if found := _named(root, word):
            _check_apart(root)
            known = description(root)
            if known is not None and word in known.splits and len(found) != known.splits[word].shards:
                raise DataError(
                    f"shards: {len(found)} of {known.splits[word].shards} {word} shards are in {root}; "
                    "copy the missing ones, or wait until all are written"
                )
            return found
    words = " or ".join(HELD_OUT_FOLDERS) if split == "test" else "train"
    raise DataError(f"shards: no shards named {words} in {root}; they must be laid out as {LAYOUTS}")


def description(root: Path) -> ShardsDescription | None:
    """Read `root/dataset.json`, if it exists.

    Raises:
        DataError: the file is damaged.
    """
    path = root / DESCRIPTION
    try:
        return ShardsDescription.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ConfigError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"shards: {path} is damaged ({problem}); repair it or move it elsewhere") from None


def _named(root: Path, word: str) -> list[Path]:
    pattern = re.compile(rf"(?:.*[-_.])?{word}(?:[-_.].*)?\.tar")
    by_name = [path for path in root.glob("*.tar") if pattern.fullmatch(path.name)]
    found = by_name or list((root / word).glob("*.tar"))
    return sorted(path for path in found if not path.name.startswith("."))


def _check_apart(root: Path) -> None:
    """Reject a shard whose name fits both training and test: `data-train-val-000.tar` could be either."""
    held_out = {path for word in HELD_OUT_FOLDERS for path in _named(root, word)}
    if both := sorted(held_out.intersection(_named(root, "train"))):
        raise DataError(f"shards: the name of {both[0]} fits both training and test; rename it: {LAYOUTS}")
