"""Images without classes and splits: a folder of image files, or ADM's `.npz`.

Files in subfolders count; they are ordered by path, with numbers by value (`2.png` before `10.png`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import LongTensor, Tensor

from sftok.data.base import DataError, ImageSet
from sftok.data.image_folder import Content, ImageFolder, examine
from sftok.data.npz import images_of
from sftok.data.transforms import EXTENSIONS, FORMATS, THREADS, Crop

GRAY_MODES = frozenset({"1", "L", "LA", "I", "F"})


@dataclass(frozen=True, eq=False)
class ArrayImageSet(ImageSet):
    """Images in an array, which may be mapped from a file.

    Attributes:
        pixels: uint8 `[N, H, W, 3]`.
    """

    name: str
    pixels: np.ndarray

    class_names = ("images",)

    @cached_property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The position of each image."""
        return tuple(f"{place:06d}" for place in range(len(self.pixels)))

    @cached_property
    def targets(self) -> Tensor:  # type: ignore[override]
        """A single class for all images."""
        return torch.zeros(len(self.pixels), dtype=torch.int64)

    @property
    def image_size(self) -> int:
        """Height and width."""
        return int(self.pixels.shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape and pixels."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        for start in range(0, len(self.pixels), 256):
            digest.update(np.ascontiguousarray(self.pixels[start : start + 256]).data)
        return digest.hexdigest()

    def images(self, indices: LongTensor | Tensor) -> Tensor:
        """Return the images of `indices` (int64 [n]) as uint8 [n, 3, H, W]."""
        chosen = np.asarray(self.pixels[indices.numpy()])
        return torch.from_numpy(np.ascontiguousarray(rearrange(chosen, "n h w c -> n c h w")))

    def views(self, indices: LongTensor | Tensor, crops: Sequence[Crop]) -> Tensor:
        """Not supported: these images are not for training.

        Raises:
            DataError: always.
        """
        raise DataError(f"{self.name}: has no views, it is not for training")


PlainImages = ImageFolder | ArrayImageSet


def read_plain_images(path: Path, image_size: int | None = None, *, shuffled: bool = False) -> PlainImages:
    """Read the images of a folder or of an `.npz` file.

    Args:
        path: the folder or the file.
        image_size: the size to which the images of a folder are resized and cropped, as for a data set. With
            None they are used unchanged, and must be square and of one size.
        shuffled: whether to order the files of a folder by the hash of their content. In the order of paths,
            the first images may all be of one class; metrics that read only part of them need a mixture.

    Raises:
        DataError: a file is not an image, has another size, is not square, or is gray among colored ones; the
            message is one line.
    """
    if path.suffix == ".npz":
        array = ArrayImageSet(path.name, images_of(path))
        if image_size not in (None, array.image_size):
            raise DataError(f"{path}: its images have {array.image_size} pixels a side, not {image_size}")
        return array
    if not path.is_dir():
        problem = "neither a folder of images nor a .npz file" if path.exists() else "no such folder or file"
        raise DataError(f"{path}: {problem}")
    root = path.absolute()
    files = _files(root)
    size = image_size or _common_size(root, files)
    contents = examine(root, files)
    problems = [
        f"{file}: {each}" for file, each in zip(files, contents, strict=True) if isinstance(each, str)
    ]
    if problems:
        raise DataError(
            f"{path}: {len(problems)} of {len(files)} files cannot be read, the first is {problems[0]}"
        )
    pairs = zip(files, contents, strict=True)
    found = [(each.digest, file) for file, each in pairs if isinstance(each, Content)]
    if shuffled:
        found.sort()
    return ImageFolder(
        name=root.name,
        class_names=("images",),
        names=tuple(file for _, file in found),
        targets=torch.zeros(len(found), dtype=torch.int64),
        digests=np.frombuffer(b"".join(digest for digest, _ in found), dtype=np.uint8).reshape(-1, 32),
        image_size=size,
        root=root,
    )


def _files(root: Path) -> list[str]:
    found = [
        file.relative_to(root).as_posix()
        for file in root.rglob("*")
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".") and file.is_file()
    ]
    if len(found) < 2:
        raise DataError(f"{root}: {len(found)} images (of {', '.join(sorted(EXTENSIONS))}); two are needed")
    return sorted(found, key=natural)


def natural(name: str) -> list[tuple[int, int, str]]:
    """A sort key that compares the numbers in a path by value, and keeps folders together."""
    parts = re.findall(r"\d+|[^\d/]+|/", name)
    # "/" sorts first: the files in a folder come before names that begin with the folder's name.
    return [
        (0, 0, "") if part == "/" else (1, int(part), "") if part.isdecimal() else (2, 0, part)
        for part in parts
    ]


def _common_size(root: Path, files: Sequence[str]) -> int:
    """Return the side of all images, from the files' headers."""
    with ThreadPoolExecutor(THREADS, "sftok-headers") as pool:
        headers = list(pool.map(lambda file: _header(root / file), files))
    (width, height), gray = headers[0]
    if width != height:
        raise DataError(
            f"{root / files[0]}: is {width} x {height} pixels, not square; save the measured images"
        )
    for file, (size, is_gray) in zip(files, headers, strict=True):
        if size != (width, height):
            raise DataError(
                f"{root / file}: is {size[0]} x {size[1]} pixels, but {files[0]} is {width} x {height}; "
                "all must have one size"
            )
        if is_gray != gray:
            one, other = (file, files[0]) if is_gray else (files[0], file)
            raise DataError(f"{root / one}: is gray, but {other} is in color; save all of them as RGB")
    return int(width)


def _header(file: Path) -> tuple[tuple[int, int], bool]:
    try:
        with Image.open(file, formats=FORMATS) as image:
            return image.size, image.mode in GRAY_MODES or image.mode.startswith("I;16")
    except Exception as error:  # a damaged header can make PIL raise almost anything
        raise DataError(
            f"{file}: cannot be read as an image ({' '.join(str(error).split())[:200]})"
        ) from None
