"""Images that are kept as encoded files, wherever their bytes come from: decoded at the first look."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import LongTensor, Tensor

from sftok.data.base import DataConfig, DataError
from sftok.data.content_index import THREADS
from sftok.data.transforms import CENTRE, TRANSFORM, Crop, UnreadableImageError, pixels

logger = logging.getLogger(__name__)

MEMORY_BUDGET = 2 * 2**30
"""A set whose decoded pixels take no more bytes is decoded once and kept in memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EncodedImageSet(ABC):
    """An `ImageSet` of encoded images.

    All are decoded at once if the pixels fit `memory_budget`, else batch by batch, each on a pool of threads
    (PIL decodes and resizes without Python's lock). Views are always decoded anew. What is read is held
    against the hash in the fingerprint, so pixels are those it names or an error.

    Attributes:
        name: see `ImageSet`.
        class_names: see `ImageSet`.
        targets: int64 [n], the label of each image.
        image_size: height and width of the images.
        memory_budget: bytes.
    """

    name: str
    class_names: tuple[str, ...]
    targets: Tensor
    image_size: int
    memory_budget: int = MEMORY_BUDGET

    @abstractmethod
    def key(self, place: int) -> str:
        """The name of an image within the set, without its extension."""

    @abstractmethod
    def sha256(self, place: int) -> str:
        """Of the content of an image (hex), when the set was loaded."""

    @abstractmethod
    def content(self, place: int) -> bytes:
        """The encoded image.

        Raises:
            OSError: it cannot be read.
        """

    @abstractmethod
    def lost(self, place: int, reason: str) -> DataError:
        """What to say of an image that is no longer what it was, for `reason`."""

    @property
    def num_classes(self) -> int:
        """How many classes labels can name."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of transform and size, class names, and each image's key, label and content, in order.

        It does not tell a folder from shards that were made of it: the pixels are the same.
        """
        digest = hashlib.sha256(json.dumps([TRANSFORM, self.image_size, self.class_names]).encode())
        for place, label in enumerate(self.targets.tolist()):
            digest.update(json.dumps([self.key(place), label, self.sha256(place)]).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.targets)

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Images of `indices` (int64 [n]) as uint8 [n, 3, H, W].

        Raises:
            DataError: an image was changed or removed since the set was loaded.
        """
        if len(self) * 3 * self.image_size**2 <= self.memory_budget:
            # By NumPy, as `_read_ahead` asks.
            return torch.from_numpy(self._all_images.numpy()[indices.numpy()])
        return self._decode(indices.tolist(), [CENTRE] * len(indices))

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """As `images`, but each image cut and mirrored as its crop (of n) says.

        Raises:
            DataError: as `images`.
        """
        return self._decode(indices.tolist(), crops)

    def labels(self, indices: LongTensor | Tensor) -> Tensor:
        """Labels of `indices` (int64 [n]) as int64 [n]."""
        return self.targets[indices]

    @cached_property
    def _all_images(self) -> Tensor:
        logger.info("%s: decoding %d images into memory", self.name, len(self))
        return self._decode(range(len(self)), [CENTRE] * len(self))

    def _decode(self, places: Sequence[int], crops: Sequence[Crop]) -> Tensor:
        decoded = np.empty((len(places), 3, self.image_size, self.image_size), dtype=np.uint8)

        def fill(row: int) -> None:
            decoded[row] = rearrange(self._pixels(places[row], crops[row]), "h w c -> c h w")

        with ThreadPoolExecutor(THREADS, "sftok-decode") as pool:
            for _ in pool.map(fill, range(len(places))):
                pass
        return torch.from_numpy(decoded)

    def _pixels(self, place: int, crop: Crop) -> np.ndarray:
        try:
            content = self.content(place)
            if hashlib.sha256(content).hexdigest() != self.sha256(place):
                raise self.lost(place, "its content has changed")
            return pixels(content, self.image_size, crop)
        except (OSError, UnreadableImageError) as error:
            raise self.lost(place, str(error)) from None


def root_folder(config: DataConfig, layouts: str) -> Path:
    """The folder `config.path`, which must be one; `layouts` say what it should hold.

    Raises:
        DataError: no path is set, or it is no folder.
    """
    what = f"set data.path to a folder laid out as {layouts}"
    if not config.path:
        raise DataError(f"{config.source}: no path is set; {what}")
    root = Path(config.path).expanduser().absolute()
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"{config.source}: {root} {problem}; {what}")
    return root


def refuse_one_class(config: DataConfig, root: Path, class_names: Sequence[str]) -> None:
    """A single class is most often a path one folder too high or too deep.

    Raises:
        DataError: there are not two classes.
    """
    if len(class_names) < 2:
        raise DataError(
            f"{config.source}: {root} has one class only, {class_names[0]!r}, but two are needed; "
            "set data.path to the folder that holds the class folders, or to shards of several classes"
        )


def report_unreadable(config: DataConfig, root: Path, problems: Sequence[str], total: int) -> None:
    """Log the images that cannot be decoded (where each is, and why), or refuse them, as `config` says.

    Raises:
        DataError: there are some and they are fatal, or there are no others.
    """
    if problems and config.unreadable == "fatal":
        raise DataError(
            f"{config.source}: {len(problems)} of {total} image files cannot be read, the first is "
            f"{problems[0]}; repair or remove them, or set data.unreadable = 'skip'"
        )
    for problem in problems:
        logger.warning("skipped %s", problem)
    if len(problems) == total:
        raise DataError(
            f"{config.source}: none of the {total} image files in {root} can be read; the log says why"
        )
