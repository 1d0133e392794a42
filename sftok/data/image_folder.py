"""Any folder of images in class sub-folders (`folder_layout` says which), in any common format.

With `unreadable = "skip"`, a file that cannot be decoded still counts towards `validation_images` and
`limit`, so leaving it out moves no other image.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import LongTensor, Tensor

from sftok.data.base import DataConfig, DataError, Selection, Split
from sftok.data.content_index import THREADS, Content, Unreadable, examine
from sftok.data.folder_layout import LAYOUTS, labelled_files
from sftok.data.transforms import TRANSFORM, UnreadableImageError, pixels

logger = logging.getLogger(__name__)

MEMORY_BUDGET = 2 * 2**30
"""A set whose decoded pixels take no more bytes is decoded once and kept in memory."""


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """An `ImageSet` of image files.

    Decoded at the first look: all at once if the pixels fit `memory_budget`, else batch by batch, each on
    a pool of threads.

    Attributes:
        name: see `ImageSet`.
        class_names: see `ImageSet`.
        root: the folder.
        files: paths relative to it, with `/`.
        hashes: SHA-256 (hex) of each file's content.
        targets: int64 [n], the label of each file.
        image_size: height and width of the images.
        memory_budget: bytes.
    """

    name: str
    class_names: tuple[str, ...]
    root: Path
    files: tuple[str, ...]
    hashes: tuple[str, ...]
    targets: Tensor
    image_size: int
    memory_budget: int = MEMORY_BUDGET

    @property
    def num_classes(self) -> int:
        """How many classes labels can name."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of transform and size, class names, and each file's path, label and content, in order."""
        digest = hashlib.sha256(json.dumps([TRANSFORM, self.image_size, self.class_names]).encode())
        for entry in zip(self.files, self.targets.tolist(), self.hashes, strict=True):
            digest.update(json.dumps(entry).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.files)

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Images of `indices` (int64 [n]) as uint8 [n, 3, H, W].

        Raises:
            DataError: a file was changed or removed since the set was loaded.
        """
        if len(self) * 3 * self.image_size**2 <= self.memory_budget:
            return self._all_images[indices]
        return self._decode([self.files[index] for index in indices.tolist()])

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """Labels of `indices` (int64 [n]) as int64 [n]."""
        return self.targets[indices]

    @cached_property
    def _all_images(self) -> Tensor:
        logger.info("%s: decoding %d images into memory", self.name, len(self))
        return self._decode(self.files)

    def _decode(self, files: Sequence[str]) -> Tensor:
        decoded = np.empty((len(files), 3, self.image_size, self.image_size), dtype=np.uint8)

        def fill(place: int) -> None:
            decoded[place] = rearrange(self._pixels(files[place]), "h w c -> c h w")

        with ThreadPoolExecutor(THREADS, "sftok-decode") as pool:
            for _ in pool.map(fill, range(len(files))):
                pass
        return torch.from_numpy(decoded)

    def _pixels(self, file: str) -> np.ndarray:
        try:
            return pixels((self.root / file).read_bytes(), self.image_size)
        except (OSError, UnreadableImageError) as error:
            raise DataError(
                f"folder: {self.root / file} was readable when it was loaded, and is not now ({error}); "
                "restore it and start again"
            ) from None


def read(config: DataConfig, split: Split, select: Selection) -> ImageFolder:
    """The images of a split of the folder `config.path`.

    Raises:
        DataError: there is no such folder, its layout is not known, it holds no images, or (with
            `unreadable = "fatal"`) one that cannot be decoded.
    """
    root = _root(config)
    listing = labelled_files(root, split)
    chosen = select(torch.tensor(listing.labels)).tolist()
    contents = examine(root, [listing.files[place] for place in chosen])
    found = list(zip(chosen, contents, strict=True))
    kept = [(place, content) for place, content in found if isinstance(content, Content)]
    problems = [
        f"{root / listing.files[place]}: {content.problem}"
        for place, content in found
        if isinstance(content, Unreadable)
    ]
    _report(root, problems, len(found), config.unreadable)
    logger.info("%s: %d images of %d classes (%s)", root, len(kept), len(listing.class_names), split)
    return ImageFolder(
        name=f"{root.name}/{split}",
        class_names=listing.class_names,
        root=root,
        files=tuple(listing.files[place] for place, _ in kept),
        hashes=tuple(content.sha256 for _, content in kept),
        targets=torch.tensor([listing.labels[place] for place, _ in kept]),
        image_size=config.image_size,
    )


def _root(config: DataConfig) -> Path:
    if not config.path:
        raise DataError(f"folder: no path is set; set it to a folder of images laid out as {LAYOUTS}")
    root = Path(config.path).expanduser().absolute()
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"folder: {root} {problem}; set path to a folder of images laid out as {LAYOUTS}")
    return root


def _report(root: Path, problems: list[str], total: int, unreadable: str) -> None:
    if problems and unreadable == "fatal":
        raise DataError(
            f"folder: {len(problems)} of {total} image files cannot be read, the first is {problems[0]}; "
            "repair or remove them, or set unreadable = 'skip'"
        )
    for problem in problems:
        logger.warning("skipped %s", problem)
    if len(problems) == total:
        raise DataError(f"folder: none of the {total} image files in {root} can be read; the log says why")
