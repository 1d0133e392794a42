"""Which .tar files of a folder are the shards of which split, and what a `dataset.json` beside them says.

Shards are told by their names, `PATH/train-000000.tar` and `PATH/val-000000.tar` (or `imagenet-train-0.tar`
and the like), or by their folder, `PATH/train/*.tar` and `PATH/val/*.tar`; the held-out ones may also be
called `validation` or `test`. They are the test split, the others the training and validation images.
`dataset.json` is optional: it names the classes, and how many shards there must be.
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
    """How much a split holds."""

    images: int = Field(ge=0)
    shards: int = Field(ge=0)


class ShardsDescription(Config):
    """What `dataset.json` says; shards of other makers need only `class_names`."""

    class_names: tuple[str, ...] = Field(min_length=1)
    """In the order of their numbers."""
    splits: Mapping[str, SplitSize] = {}
    """By the word in the shards' names."""
    images_per_shard: int | None = None
    size: int | None = None
    """The short side that the images were resized to; None: they are as they were."""
    source: str | None = None
    """SHA-256 of what the shards were made of: paths, classes and sizes of the image files."""


def shards_of(root: Path, split: Split) -> list[Path]:
    """The shards below `root` that `split` is chosen from (validation: those of train), sorted by name.

    Raises:
        DataError: there are none, or fewer than `dataset.json` says, or a name is good for two splits.
    """
    words = HELD_OUT_FOLDERS if split == "test" else ("train",)
    for word in words:
        if found := _named(root, word):
            _check_apart(root)
            _check_complete(root, word, found)
            return found
    raise DataError(
        f"shards: no shards named {' or '.join(words)} in {root}; they must be laid out as {LAYOUTS}"
    )


def description(root: Path) -> ShardsDescription | None:
    """What `root/dataset.json` says, if there is one.

    Raises:
        DataError: it is damaged.
    """
    path = root / DESCRIPTION
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return ShardsDescription.model_validate_json(text)
    except (ConfigError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"shards: {path} is damaged ({problem}); mend or remove it") from None


def _named(root: Path, word: str) -> list[Path]:
    pattern = re.compile(rf"(?:.*[-_.])?{word}(?:[-_.].*)?\.tar")
    by_name = [path for path in root.glob("*.tar") if pattern.fullmatch(path.name)]
    found = by_name or list((root / word).glob("*.tar"))
    return sorted(path for path in found if not path.name.startswith("."))


def _check_apart(root: Path) -> None:
    """Training images must not be measured: `data-train-val-000.tar` could be either."""
    held_out = {path for word in HELD_OUT_FOLDERS for path in _named(root, word)}
    if both := sorted(held_out.intersection(_named(root, "train"))):
        raise DataError(
            f"shards: by its name {both[0]} is for training and for testing; rename it: {LAYOUTS}"
        )


def _check_complete(root: Path, word: str, found: list[Path]) -> None:
    known = description(root)
    if known is None or word not in known.splits:
        return
    expected = known.splits[word].shards
    if len(found) != expected:
        raise DataError(
            f"shards: {len(found)} of {expected} {word} shards are in {root}; copy the missing ones, "
            "or let what writes them finish"
        )
