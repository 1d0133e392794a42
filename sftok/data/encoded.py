"""Images stored as encoded files, in folders or in shards, and decoded when they are first needed."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import LongTensor, Tensor

from sftok.data.base import DataConfig, DataError, ImageSet
from sftok.data.folder_layout import sample_key
from sftok.data.transforms import CENTER, THREADS, TRANSFORM, Crop, UnreadableImageError, pixels

logger = logging.getLogger(__name__)

MEASURED_IMAGES = 64
"""Number of images decoded to measure the speed of a number of threads."""

CANDIDATES = (2, 4, 8, 16, 32, 64)
"""Numbers of threads, tried in turn as long as each is `FASTER` than the previous one."""

FASTER = 1.1

MEMORY_BUDGET = 2 * 2**30
"""Bytes; a set whose decoded pixels fit is decoded once and kept in memory."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EncodedImageSet(ImageSet):
    """An `ImageSet` of encoded images.

    If the pixels fit `memory_budget`, all images are decoded at once, otherwise batch by batch, on a pool of
    threads (PIL decodes and resizes without holding Python's lock). Views are always decoded anew. Everything
    that is read is checked against its hash, so the pixels match the fingerprint or an error is raised.

    Attributes:
        names: the path of each image in the folder, or the name of its member in the shards.
        digests: uint8 [n, 32], SHA-256 of the content of each image.
        image_size: height and width of the images.
        memory_budget: bytes.
    """

    name: str
    class_names: tuple[str, ...]
    names: tuple[str, ...]
    targets: Tensor
    digests: np.ndarray
    image_size: int
    memory_budget: int = MEMORY_BUDGET

    @abstractmethod
    def content(self, place: int) -> bytes:
        """Return the encoded image.

        Raises:
            OSError: the image cannot be read.
        """

    @abstractmethod
    def lost(self, place: int, reason: str) -> DataError:
        """Return the error for an image that was changed or removed after loading."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of transform and size, class names, and each image's key, label and content, in order.

        A folder and the shards made from it have the same fingerprint, because their pixels are the same.
        """
        digest = hashlib.sha256(json.dumps([TRANSFORM, self.image_size, self.class_names]).encode())
        for name, label, content in zip(self.names, self.targets.tolist(), self.digests, strict=True):
            digest.update(json.dumps([sample_key(name), label, content.tobytes().hex()]).encode())
        return digest.hexdigest()

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Return the images of `indices` (int64 [n]) as uint8 [n, 3, H, W].

        Raises:
            DataError: an image was changed or removed since the set was loaded.
        """
        if len(self) * 3 * self.image_size**2 <= self.memory_budget:
            # Uses NumPy, not torch; see `batches._read_ahead`.
            return torch.from_numpy(self._all_images[indices.numpy()])
        return self.views(indices, [CENTER] * len(indices))

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Like `images`, but each image is cropped and mirrored according to its crop (of n).

        Raises:
            DataError: as for `images`.
        """
        return torch.from_numpy(self._decode(indices.tolist(), crops))

    @cached_property
    def _all_images(self) -> np.ndarray:
        logger.info("%s: decoding %d images into memory", self.name, len(self))
        return self._decode(range(len(self)), [CENTER] * len(self))

    @cached_property
    def threads(self) -> int:
        """Number of decoding threads: increased while that is faster, measured on a few images."""
        if len(self) < MEASURED_IMAGES * len(CANDIDATES):
            return THREADS
        cores, best, fastest = os.cpu_count() or 1, THREADS, 0.0
        spread = torch.linspace(0, len(self) - 1, MEASURED_IMAGES * len(CANDIDATES)).long().tolist()
        # Different images each time, because images that were read once are in the system's file cache.
        for turn, count in enumerate(each for each in CANDIDATES if each <= 2 * cores):
            with ThreadPoolExecutor(count, "sftok-decode") as pool:
                started = time.perf_counter()
                list(pool.map(self._pixels, spread[turn :: len(CANDIDATES)], itertools.repeat(CENTER)))
                rate = MEASURED_IMAGES / (time.perf_counter() - started)
            if rate < FASTER * fastest:
                break
            best, fastest = count, rate
        logger.info("%s: %d threads decode %.0f images a second", self.name, best, fastest)
        return best

    def _decode(self, places: Sequence[int], crops: Sequence[Crop]) -> np.ndarray:
        decoded = np.empty((len(places), 3, self.image_size, self.image_size), dtype=np.uint8)

        def fill(row: int) -> None:
            decoded[row] = rearrange(self._pixels(places[row], crops[row]), "h w c -> c h w")

        with ThreadPoolExecutor(self.threads, "sftok-decode") as pool:
            list(pool.map(fill, range(len(places))))
        return decoded

    def _pixels(self, place: int, crop: Crop) -> np.ndarray:
        try:
            content = self.content(place)
            if hashlib.sha256(content).digest() != self.digests[place].tobytes():
                raise self.lost(place, "its content has changed")
            return pixels(content, self.image_size, crop)
        except (OSError, UnreadableImageError) as error:
            raise self.lost(place, str(error)) from None


def root_folder(config: DataConfig, layouts: str) -> Path:
    """Return the folder `config.path`; `layouts` describes its required contents.

    Raises:
        DataError: no path is set, or it is not a folder.
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
    """Reject a single class: the path is most often one folder too high or too deep.

    Raises:
        DataError: there are fewer than two classes.
    """
    if len(class_names) < 2:
        raise DataError(
            f"{config.source}: {root} has only one class, {class_names[0]!r}, but two are needed; "
            "set data.path to the folder that holds the class folders, or to shards of several classes"
        )


def readable(config: DataConfig, root: Path, chosen: Tensor, problems: Mapping[int, str]) -> np.ndarray:
    """Return the positions in `chosen` (int64 [m]) whose images can be decoded, as int64 [k].

    Args:
        config: whether undecodable images are skipped, with a warning, or rejected.
        root: the folder.
        chosen: the wanted images.
        problems: by position, the path of an image that cannot be decoded, and the reason.

    Raises:
        DataError: some images cannot be decoded and that is fatal, or none can.
    """
    unreadable = [problems[place] for place in chosen.tolist() if place in problems]
    if unreadable and config.unreadable == "fatal":
        raise DataError(
            f"{config.source}: {len(unreadable)} of {len(chosen)} image files cannot be read, the first is "
            f"{unreadable[0]}; repair or remove them, or set data.unreadable = 'skip'"
        )
    for problem in unreadable:
        logger.warning("skipped %s", problem)
    if len(unreadable) == len(chosen):
        raise DataError(
            f"{config.source}: none of the {len(chosen)} image files in {root} can be read; see the log"
        )
    return np.array([place for place in chosen.tolist() if place not in problems], dtype=np.int64)
