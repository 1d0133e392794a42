"""WebDataset shards out of a folder of images: few big files instead of a million small ones.

A set of shards holds the images of its folder in the folder's order under the folder's names, so it has the
folder's splits, and, unless the images are resized, its fingerprint. Shards are complete or not there: an
interrupted run goes on with the first that is missing.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from PIL import Image
from pydantic import Field

from sftok.config import Config
from sftok.data.base import DataError, Split
from sftok.data.content_index import THREADS
from sftok.data.folder_layout import labelled_files, sample_key
from sftok.data.shard_index import LABEL, beside, write_index
from sftok.data.shard_layout import DESCRIPTION, ShardsDescription, SplitSize, description
from sftok.data.transforms import UnreadableImageError, decode, resize_short_side

logger = logging.getLogger(__name__)

SPLITS: dict[str, Split] = {"train": "train", "val": "test"}
"""By the word in the shards' names, what they hold."""
CHUNK = 256
"""So many images are in memory at once."""
_JPEG = {"jfif", "jpe", "jpeg"}


class ShardingConfig(Config):
    """How a folder is cut into shards."""

    images_per_shard: int = Field(default=10_000, ge=1)
    size: int | None = Field(default=None, ge=1)
    """Resize the short side to so many pixels, and keep the result without loss (PNG); else files stay as
    they are."""


@dataclass(frozen=True)
class _Sample:
    file: Path
    key: str
    label: int


def write_shards(
    root: Path,
    out: Path,
    config: ShardingConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShardsDescription:
    """Write the images of the folder `root` (`folder_layout` says of which form) to shards in `out`.

    `on_progress(done, total)` counts images. An image that cannot be decoded is copied as it is: what to do
    about it is decided where the shards are read.

    One run at a time writes to `out`.

    Raises:
        DataError: the folder cannot be used, `out` holds something else, or a file cannot be read.
        OSError: `out` cannot be written.
    """
    splits, wanted = _plan(root, config)
    _claim(out, wanted)
    total, done = sum(map(len, splits.values())), 0
    for word, samples in splits.items():
        for number, start in enumerate(range(0, len(samples), config.images_per_shard)):
            part = samples[start : start + config.images_per_shard]
            shard = out / f"{word}-{number:06}.tar"
            if not shard.exists():
                _write(shard, part, config.size, partial(_offset, on_progress, done, total))
            if not beside(shard).exists():
                for place, problem in write_index(shard).problems.items():
                    logger.warning("%s is copied, but cannot be decoded (%s)", part[place].file, problem)
            done += len(part)
            on_progress(done, total)
    return wanted


def _plan(root: Path, config: ShardingConfig) -> tuple[dict[str, list[_Sample]], ShardsDescription]:
    splits: dict[str, list[_Sample]] = {}
    class_names: tuple[str, ...] = ()
    source = hashlib.sha256()
    for word, split in SPLITS.items():
        listing = labelled_files(root, split)
        class_names = listing.class_names
        keys = _keys(root, listing.files)
        splits[word] = [
            _Sample(root / file, key, label)
            for file, key, label in zip(listing.files, keys, listing.labels, strict=True)
        ]
        for file, label in zip(listing.files, listing.labels, strict=True):
            source.update(json.dumps([word, file, label, _size(root / file)]).encode())
    return splits, ShardsDescription(
        class_names=class_names,
        splits={
            word: SplitSize(images=len(samples), shards=-(-len(samples) // config.images_per_shard))
            for word, samples in splits.items()
        },
        images_per_shard=config.images_per_shard,
        size=config.size,
        source=source.hexdigest(),
    )


def _keys(root: Path, files: Sequence[str]) -> list[str]:
    first: dict[str, str] = {}
    for file in files:
        key = sample_key(file)
        if key in first:
            raise DataError(
                f"folder: {root / first[key]} and {root / file} would have one key in a shard; rename one"
            )
        first[key] = file
    return list(first)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> DataError:
    return DataError(f"folder: {file} cannot be read ({error.strerror}); mend or remove it")


def _claim(out: Path, wanted: ShardsDescription) -> None:
    """Let `out` be the folder of these shards: a new one, or one in which they were begun."""
    out.mkdir(parents=True, exist_ok=True)
    known = description(out)
    if known is None and any(not path.name.startswith(".") for path in out.iterdir()):
        raise DataError(f"shards: {out} is not empty, and holds no {DESCRIPTION}; choose an empty folder")
    if known is not None and known != wanted:
        raise DataError(
            f"shards: {out} holds shards of other images, or cut or resized otherwise; choose an empty folder"
        )
    for pattern in (".*.partial", ".*.index.*.tmp"):
        for left in out.glob(pattern):
            left.unlink(missing_ok=True)  # by a run that was killed
    if known is None:
        text = json.dumps(wanted.model_dump(mode="json"), indent=1, ensure_ascii=False)
        _replace(out / DESCRIPTION, lambda file: file.write(text.encode()))


def _write(
    shard: Path, samples: Sequence[_Sample], size: int | None, on_progress: Callable[[int], None]
) -> None:
    def fill(file: io.BufferedWriter) -> None:
        # Nothing of the time and the machine goes into a shard: the same images make the same bytes.
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for count, (sample, extension, content) in enumerate(_contents(samples, size), 1):
                _add(tar, f"{sample.key}.{extension}", content)
                _add(tar, f"{sample.key}.{LABEL}", str(sample.label).encode())
                if count % CHUNK == 0:
                    on_progress(count)

    _replace(shard, fill)


def _contents(samples: Sequence[_Sample], size: int | None) -> Iterator[tuple[_Sample, str, bytes]]:
    def content(sample: _Sample) -> tuple[_Sample, str, bytes]:
        return (sample, *_content(sample.file, size))

    with ThreadPoolExecutor(THREADS, "sftok-shards") as pool:
        chunks = (samples[start : start + CHUNK] for start in range(0, len(samples), CHUNK))
        yield from chain.from_iterable(pool.map(content, chunk) for chunk in chunks)


def _content(file: Path, size: int | None) -> tuple[str, bytes]:
    """Extension and bytes of an image as it goes into a shard."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from None
    extension = file.suffix[1:].lower()
    extension = "jpg" if extension in _JPEG else extension
    if size is None:
        return extension, content
    try:
        image = decode(content)
    except UnreadableImageError:
        return extension, content
    if _too_long(image, size):
        return extension, content
    return "png", _png(resize_short_side(image, size))


def _too_long(image: Image.Image, size: int) -> bool:
    """Whether it would be refused as too large when it is read: a strip of two pixels is long, scaled up."""
    scale = size / min(image.size)
    limit = Image.MAX_IMAGE_PIXELS
    return limit is not None and scale**2 * image.width * image.height > limit


def _png(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    return encoded.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _replace(path: Path, fill: Callable[[io.BufferedWriter], object]) -> None:
    """Let `path` appear complete, on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _offset(on_progress: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    """Report `done` images of one shard as images of all."""
    on_progress(before + done, total)
