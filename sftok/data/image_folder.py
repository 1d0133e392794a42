"""A folder of images in class folders (see `folder_layout`), in any common format.

Each file is hashed and decoded once. Its hash is cached under its path, size and modification time, so a
large folder later costs only a `stat` of each file. Files that cannot be decoded are not cached but tried
again every time. With `unreadable = "skip"` they still count toward `validation_images` and `limit`, so
skipping them moves no other image.
"""

from __future__ import annotations

import hashlib
import logging
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sftok.data.base import DataConfig, DataError, Selection, Split
from sftok.data.cache import cache_table, is_settled, load_table, table_of
from sftok.data.encoded import EncodedImageSet, readable, refuse_one_class, root_folder
from sftok.data.folder_layout import LAYOUTS, labelled_files
from sftok.data.transforms import THREADS, UnreadableImageError, decode

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60.0
"""Seconds between saves: the most work that an interruption may lose."""
ENTRY = np.dtype([("size", "<i8"), ("modified", "<i8"), ("digest", "V32")])
"""An entry of the cache: the fields of `Content`."""
_PART = 32
"""Number of files that a thread takes at once."""


class Content(NamedTuple):
    """Information about a file that can be decoded.

    Attributes:
        size: bytes.
        modified: modification time in nanoseconds since the epoch.
        digest: SHA-256 of its content.
    """

    size: int
    modified: int
    digest: bytes


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFolder(EncodedImageSet):
    """An `ImageSet` of image files.

    Attributes:
        root: the folder that `names` are relative to.
    """

    root: Path

    def content(self, place: int) -> bytes:
        """Return the bytes of the file."""
        return (self.root / self.names[place]).read_bytes()

    def lost(self, place: int, reason: str) -> DataError:
        """Return the error for a file that was changed or removed."""
        return DataError(
            f"folder: {self.root / self.names[place]} has changed since it was loaded ({reason}); "
            "restore it and start again"
        )


def read(config: DataConfig, split: Split, select: Selection) -> ImageFolder:
    """Read the images of a split of the folder `config.path`.

    Raises:
        DataError: the folder does not exist, its layout is not supported, it has no images or only one class,
            or (with `unreadable = "fatal"`) an image cannot be decoded.
    """
    root = root_folder(config, LAYOUTS)
    listing = labelled_files(root, split)
    refuse_one_class(config, root, listing.class_names)
    labels = torch.tensor(listing.labels)
    chosen = select(labels)
    contents = dict(
        zip(chosen.tolist(), examine(root, [listing.files[place] for place in chosen]), strict=True)
    )
    problems = {
        place: f"{root / listing.files[place]}: {content}"
        for place, content in contents.items()
        if isinstance(content, str)
    }
    kept = readable(config, root, chosen, problems)
    logger.info("%s: %d images of %d classes (%s)", root, len(kept), len(listing.class_names), split)
    digests = b"".join(contents[place].digest for place in kept.tolist())
    return ImageFolder(
        name=f"{root.name}/{split}",
        class_names=listing.class_names,
        names=tuple(listing.files[place] for place in kept.tolist()),
        targets=labels[torch.from_numpy(kept)],
        digests=np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32),
        image_size=config.image_size,
        root=root,
    )


def examine(root: Path, files: Sequence[str]) -> list[Content | str]:
    """Return the content of each file (path relative to `root`), or why it cannot be read or decoded."""
    table = table_of(root, "image-folders")
    names, entries = load_table(table, ENTRY, {}) or ((), np.empty(0, ENTRY))
    known = {name: Content(*entry) for name, entry in zip(names, entries.tolist(), strict=True)}
    found: list[Content | str] = []
    fresh, saved = 0, time.monotonic()

    def contents(part: Sequence[str]) -> list[Content | str]:
        return [_content(root / file, known.get(file)) for file in part]

    parts = [files[start : start + _PART] for start in range(0, len(files), _PART)]
    with ThreadPoolExecutor(THREADS, "sftok-examine") as pool:
        for part, results in zip(parts, pool.map(contents, parts), strict=True):
            found += results
            for file, content in zip(part, results, strict=True):
                if (
                    isinstance(content, Content)
                    and content != known.get(file)
                    and is_settled(content.modified)
                ):
                    known[file] = content
                    fresh += 1
            if fresh and (len(found) == len(files) or time.monotonic() - saved > SAVE_SECONDS):
                logger.info("%s: %d of %d image files examined", root, len(found), len(files))
                cache_table(table, known, np.array(list(known.values()), ENTRY), {})
                fresh, saved = 0, time.monotonic()
    return found


def _content(file: Path, known: Content | None) -> Content | str:
    try:
        status = file.stat()
        if known is not None and known[:2] == (status.st_size, status.st_mtime_ns):
            return known
        if not stat.S_ISREG(status.st_mode):
            return "not a regular file"
        data = file.read_bytes()
        decode(data)
    except OSError as error:
        return error.strerror or str(error)
    except UnreadableImageError as error:
        return str(error)
    return Content(status.st_size, status.st_mtime_ns, hashlib.sha256(data).digest())
