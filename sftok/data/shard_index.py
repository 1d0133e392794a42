"""Locates the images in a shard, a .tar file as written by WebDataset.

A sample is two members of one shard: `KEY.jpg` (or another image extension) and `KEY.cls`, its class number
in ASCII. As in WebDataset, the key ends at the first dot of the file name. An image with a second extension
(`KEY.seg.png`) may accompany a sample but is not used; members with other extensions are ignored.

A shard is read through once to find the labels, and the position, hash and readability of each image. The
index is stored beside a shard that `sftok` wrote, otherwise in the user's cache under path, size and
modification time. It is not stored for a shard with an image that cannot be decoded.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tarfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from sftok.data.base import DataError
from sftok.data.cache import cache_table, is_settled, load_table, save_table, table_of
from sftok.data.transforms import EXTENSIONS, THREADS, UnreadableImageError, decode

logger = logging.getLogger(__name__)

ENTRY = np.dtype([("offset", "<i8"), ("size", "<i8"), ("label", "<i8"), ("digest", "u1", 32)])
"""An image: its first byte in the shard, its size in bytes, its label, and the SHA-256 of its content."""
LABEL = "cls"
END = bytes(2 * tarfile.BLOCKSIZE)
"""The end mark of a .tar file."""
_MEMBER = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The images of a shard, in its order.

    Attributes:
        members: their names.
        entries: `ENTRY` [n].
        problems: by position, the reason why an image cannot be decoded.
    """

    members: tuple[str, ...]
    entries: np.ndarray
    problems: Mapping[int, str] = field(default_factory=dict)


def split_name(member: str) -> tuple[str, str]:
    """Split a member's name into key and extension (in lower case); both are empty without an extension."""
    match = _MEMBER.fullmatch(member)
    return (match[1], match[2].lower()) if match else ("", "")


def beside(shard: Path) -> Path:
    """The index file of a shard that `sftok` wrote."""
    return shard.with_name(f"{shard.name}.index")


def index_of(shard: Path) -> ShardIndex:
    """Return the index of `shard`: the stored one if it is still valid, otherwise a new one.

    Raises:
        DataError: the shard is truncated or damaged, or its samples are not pairs of an image and a class.
    """
    status = shard.stat()
    size, modified = str(status.st_size), str(status.st_mtime_ns)
    known = load_table(beside(shard), ENTRY, {"size": size})
    # An index is written after its shard; an older index may describe an earlier shard of the same size.
    if known is not None and beside(shard).stat().st_mtime_ns >= status.st_mtime_ns:
        return ShardIndex(*known)
    known = load_table(table_of(shard, "image-shards"), ENTRY, {"size": size, "modified": modified})
    if known is not None:
        return ShardIndex(*known)
    logger.info("%s: reading it through to index its images", shard)
    found = build_index(shard)
    if not found.problems and is_settled(status.st_mtime_ns):
        origin = {"size": size, "modified": modified}
        cache_table(table_of(shard, "image-shards"), found.members, found.entries, origin)
    return found


def write_index(shard: Path) -> ShardIndex:
    """Build the index of `shard` and, if all of its images can be decoded, write it beside the shard.

    Raises:
        DataError: as for `index_of`.
        OSError: the index cannot be written.
    """
    found = build_index(shard)
    if not found.problems:
        save_table(beside(shard), found.members, found.entries, {"size": str(shard.stat().st_size)})
    return found


def build_index(shard: Path) -> ShardIndex:
    """Build the index of `shard` by reading it through.

    Raises:
        DataError: as for `index_of`.
    """
    images, labels = _samples(shard)

    def examine(key: str) -> tuple[tuple[int, int, int, np.ndarray], str | None]:
        image = images[key]
        content = read_member(shard, image.offset_data, image.size)
        digest = np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)
        try:
            decode(content)
            problem = None
        except UnreadableImageError as error:
            problem = str(error)
        return (image.offset_data, image.size, labels[key], digest), problem

    with ThreadPoolExecutor(THREADS, "sftok-examine") as pool:
        found = list(pool.map(examine, images))
    return ShardIndex(
        members=tuple(image.name for image in images.values()),
        entries=np.array([entry for entry, _ in found], dtype=ENTRY),
        problems={place: problem for place, (_, problem) in enumerate(found) if problem is not None},
    )


def read_member(shard: Path, offset: int, size: int) -> bytes:
    """Read the content of a member.

    Raises:
        OSError: the file cannot be read, or ends before the member.
    """
    # Opened for each image: decoding takes far longer, and a thousand shards may be too many to keep open.
    with shard.open("rb", buffering=0) as file:
        file.seek(offset)
        content = file.read(size)
    if content is None or len(content) != size:
        raise OSError(f"the file ends before byte {offset + size}")
    return content


def _samples(shard: Path) -> tuple[dict[str, tarfile.TarInfo], dict[str, int]]:
    """Return, by key, the image of each sample (in the shard's order) and its label."""
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    others: list[str] = []
    try:
        with shard.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                key, extension = split_name(member.name)
                is_image = f".{extension.rpartition('.')[2]}" in EXTENSIONS
                if not key or member.isdir() or not (is_image or extension == LABEL):
                    continue
                if not member.isreg():
                    raise DataError(
                        f"shards: {shard}: {member.name} is not a regular file; pack the shard again with "
                        "files in place of links (tar --dereference --hard-dereference)"
                    )
                if is_image and "." in extension:
                    others.append(member.name)
                    continue
                if key in (images if is_image else labels):
                    raise DataError(
                        f"shards: {shard} has the key {key!r} twice; give every sample its own key"
                    )
                if is_image:
                    images[key] = member
                else:
                    content = tar.extractfile(member)
                    labels[key] = _label(shard, key, content.read() if content else b"")
            _check_end(shard, file, tar.offset)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"shards: {shard} is truncated, damaged or not a .tar file ({error}); copy or make it again"
        ) from None
    _check_others(shard, images, others)
    _check_pairs(shard, images, labels)
    return images, labels


def _label(shard: Path, key: str, content: bytes) -> int:
    text = content.strip()
    if not (text.isdigit() and len(text) < 10):
        raise DataError(
            f"shards: {shard}: the class of {key!r} is {text[:40].decode(errors='replace')!r}; "
            f"{key}.{LABEL} must hold its number, from 0"
        )
    return int(text)


def _check_end(shard: Path, file: IO[bytes], offset: int) -> None:
    """Raise an error for a shard without an end mark at `offset`, or with anything after it."""
    file.seek(offset)
    # `tarfile` treats a missing or damaged header as the end.
    if file.read(len(END)) != END:
        raise tarfile.ReadError(f"it breaks off at byte {offset}")
    while padding := file.read(2**20):
        if padding.strip(b"\0"):
            raise DataError(
                f"shards: {shard} continues after its end mark at byte {offset}, like .tar files joined by "
                "cat; join them by tar --concatenate, or keep them apart"
            )


def _check_others(shard: Path, images: Mapping[str, object], others: list[str]) -> None:
    """Raise an error for images with a second extension and no sample, which would be silently lost."""
    if alone := [name for name in others if split_name(name)[0] not in images]:
        key, extension = split_name(alone[0])
        raise DataError(
            f"shards: {shard}: {len(alone)} images have a second dot in their names, such as {alone[0]}: in "
            f"WebDataset its key is {key!r} and its extension {extension!r}; keep only the last dot, as in "
            f"KEY.jpg and KEY.{LABEL}"
        )
    if others:
        logger.warning(
            "%s: %d images that accompany a sample are not used, such as %s", shard, len(others), others[0]
        )


def _check_pairs(shard: Path, images: Mapping[str, object], labels: Mapping[str, object]) -> None:
    if not images:
        raise DataError(f"shards: {shard} holds no images; they must be members KEY.jpg with KEY.{LABEL}")
    for key in images:
        if key not in labels:
            raise DataError(f"shards: {shard}: the image {key!r} has no label; add a member {key}.{LABEL}")
    for key in labels:
        if key not in images:
            raise DataError(f"shards: {shard}: the label {key!r} has no image; add a member {key}.jpg")
