"""Image files: finds them, reads them in batches, and names their reconstructions."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from sftok.data.batches import to_unit_range
from sftok.data.transforms import EXTENSIONS, THREADS, TRANSFORM, UnreadableImageError, pixels
from sftok.tool.errors import ToolError

OnUnreadable = Literal["fatal", "skip"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ImageBatch:
    """A batch of images.

    Attributes:
        files: their paths.
        images: float32 `[B, 3, H, W]` in [0, 1].
        seen: number of files read for it, including unreadable ones.
    """

    files: list[str]
    images: Tensor
    seen: int


def preprocessing(image_size: int) -> dict[str, Any]:
    """Describe how every image is prepared before it is tokenized."""
    return {"transform": TRANSFORM, "image_size": image_size, "range": [0, 1]}


def find_images(inputs: Sequence[str]) -> list[str]:
    """Return the files among `inputs` and the image files in its folders, each once, folders in sorted order.

    Raises:
        ToolError: a path does not exist, or a folder holds no images.
    """
    found: list[str] = []
    for given in inputs:
        if Path(given).is_dir():
            within = list(_walk(given))
            if not within:
                raise ToolError(f"{given}: no images in this folder (of {', '.join(sorted(EXTENSIONS))})")
            found += within
        elif Path(given).exists():
            found.append(given)
        else:
            raise ToolError(f"{given}: no such file or folder")
    unique: dict[str, str] = {}
    for file in found:
        unique.setdefault(_absolute(file), file)
    return list(unique.values())


def read_batches(
    files: Sequence[str], image_size: int, batch_size: int, on_unreadable: OnUnreadable
) -> Iterator[ImageBatch]:
    """Yield the images in order, `batch_size` at a time; skipped files leave no gap.

    Raises:
        ToolError: a file is not an image and `on_unreadable` is "fatal", or no file is an image.
    """
    pending: list[tuple[str, np.ndarray]] = []
    seen = read = 0
    with ThreadPoolExecutor(THREADS, "sftok-read") as pool:
        for start in range(0, len(files), batch_size):
            part = files[start : start + batch_size]
            for file, content in zip(part, pool.map(lambda file: _read(file, image_size), part), strict=True):
                seen += 1
                if isinstance(content, str):
                    _report(file, content, on_unreadable)
                    continue
                pending.append((file, content))
                if len(pending) == batch_size:
                    yield _batch(pending, seen)
                    read, seen, pending = read + batch_size, 0, []
    if pending:
        yield _batch(pending, seen)
    elif not read:
        raise ToolError(f"none of the {len(files)} files is an image that can be read")


def output_names(files: Sequence[str]) -> list[Path]:
    """Return relative paths of the reconstructions, which end in .png and are unique.

    Folders below the deepest common one are kept. If two files differ only in their suffix, all names keep
    their suffix: `a.jpg.png`.

    Raises:
        ToolError: a file is listed twice.
    """
    absolute = [_absolute(file) for file in files]
    if len(set(absolute)) < len(absolute):
        twice = next(file for file in absolute if absolute.count(file) > 1)
        raise ToolError(f"{twice} is listed more than once")
    top = os.path.commonpath([os.path.dirname(file) for file in absolute])  # noqa: PTH120
    relative = [Path(os.path.relpath(file, top)) for file in absolute]
    short = [path.with_suffix(".png") for path in relative]
    if len(set(short)) == len(short):
        return short
    return [path.with_name(f"{path.name}.png") for path in relative]


def _absolute(file: str) -> str:
    return os.path.abspath(file)  # noqa: PTH100 - unlike pathlib, collapses "..", and keeps links


def _walk(top: str) -> Iterator[str]:
    """Yield image files below a folder, following links; hidden ones are skipped."""

    def refuse(error: OSError) -> NoReturn:
        raise ToolError(f"{error.filename}: cannot be listed ({error.strerror})")

    entered: set[str] = set()
    for folder, below, names in os.walk(top, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:  # a link to a folder above or beside it
            below.clear()
            continue
        entered.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in EXTENSIONS and not name.startswith("."):
                yield os.path.join(folder, name)  # noqa: PTH118


def _read(file: str, image_size: int) -> np.ndarray | str:
    """Return the pixels, or the reason why they cannot be read."""
    try:
        return pixels(Path(file).read_bytes(), image_size)
    except OSError as error:
        return error.strerror or str(error)
    except UnreadableImageError as error:
        return str(error)


def _report(file: str, problem: str, on_unreadable: OnUnreadable) -> None:
    if on_unreadable == "fatal":
        raise ToolError(f"{file}: cannot be read ({problem}); repair or remove it, or use --unreadable skip")
    logger.warning("skipped %s: %s", file, problem)


def _batch(read: list[tuple[str, np.ndarray]], seen: int) -> ImageBatch:
    stacked = torch.from_numpy(np.stack([content for _, content in read]))
    images = to_unit_range(rearrange(stacked, "b h w c -> b c h w").contiguous())
    return ImageBatch([file for file, _ in read], images, seen)
