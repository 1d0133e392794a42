"""Where the images of a shard (a .tar file as WebDataset writes them) are: found once, then kept.

A sample is two members of one shard, `<key>.jpg` (or another extension of an image) and `<key>.cls`, the
number of its class in ASCII; the key ends at the first dot of the file's name, and members of other
extensions are ignored. A shard is read through once: labels, and place, hash and readability of each image.
What was found is kept beside the shard if the shard was written by `sftok`, else in the user's cache, under
the shard's path, size and modification time. A shard with an image that cannot be decoded is read again
every time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tarfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch

from sftok.data.base import DataError
from sftok.data.cache import user_cache
from sftok.data.content_index import SETTLED_SECONDS, THREADS
from sftok.data.transforms import EXTENSIONS, UnreadableImageError, decode
from sftok.weights import DamagedFileError, load_tensors, save_tensors

logger = logging.getLogger(__name__)

FORMAT = "1"
"""Of an index file; another is not read, and the shard is."""
LABEL = "cls"
END = bytes(2 * tarfile.BLOCKSIZE)
"""What ends a complete .tar file."""
SEPARATOR = "\0"
"""Between names in an index file: no member's name has it."""

_MEMBER = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """The images of a shard, in its order.

    Attributes:
        members: their names.
        offsets: int64 [n], where each begins in the file, and
        sizes: int64 [n], its bytes.
        labels: int64 [n].
        digests: uint8 [n, 32], SHA-256 of the content.
        problems: by place, why an image cannot be decoded.
    """

    members: tuple[str, ...]
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray
    digests: np.ndarray
    problems: Mapping[int, str]

    @property
    def keys(self) -> list[str]:
        """The members' names without their extensions."""
        return [key for key, _ in map(split_name, self.members)]


def split_name(member: str) -> tuple[str, str]:
    """Key and extension (in lower case) of a member's name; both empty if it has no extension."""
    match = _MEMBER.fullmatch(member)
    return (match[1], match[2].lower()) if match else ("", "")


def beside(shard: Path) -> Path:
    """The index file of a shard that `sftok` wrote."""
    return shard.with_name(f"{shard.name}.index")


def index_of(shard: Path) -> ShardIndex:
    """The index of `shard`: kept, if it is still of this file, or built now.

    Raises:
        DataError: the shard is cut or damaged, or its samples are not pairs of an image and a class.
    """
    status = shard.stat()
    known = _load(beside(shard), {"size": str(status.st_size)})
    # An index is written after its shard: an older one may be of what was there before, of the same size.
    if known is not None and beside(shard).stat().st_mtime_ns >= status.st_mtime_ns:
        return known
    record, origin = _record_of(shard), {"size": str(status.st_size), "modified": str(status.st_mtime_ns)}
    known = _load(record, origin)
    if known is not None:
        return known
    logger.info("%s: reading it through, to know where its images are", shard)
    found = build_index(shard)
    if not found.problems and time.time() - status.st_mtime > SETTLED_SECONDS:
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            _save(record, found, origin)
        except OSError as error:
            logger.warning("cannot keep what was found in %s (%s)", shard, error)
    return found


def write_index(shard: Path) -> ShardIndex:
    """Build the index of `shard` and, if all of its images can be decoded, put it beside.

    Raises:
        DataError: as `index_of`.
    """
    found = build_index(shard)
    if not found.problems:
        _save(beside(shard), found, {"size": str(shard.stat().st_size)})
    return found


def build_index(shard: Path) -> ShardIndex:
    """Read `shard` through.

    Raises:
        DataError: as `index_of`.
    """
    images, labels = _samples(shard)
    keys = list(images)
    offsets = np.array([images[key].offset_data for key in keys], dtype=np.int64)
    sizes = np.array([images[key].size for key in keys], dtype=np.int64)

    def examine(place: int) -> tuple[bytes, str | None]:
        content = read_member(shard, int(offsets[place]), int(sizes[place]))
        try:
            decode(content)
        except UnreadableImageError as error:
            return hashlib.sha256(content).digest(), str(error)
        return hashlib.sha256(content).digest(), None

    with ThreadPoolExecutor(THREADS, "sftok-examine") as pool:
        found = list(pool.map(examine, range(len(keys))))
    return ShardIndex(
        members=tuple(images[key].name for key in keys),
        offsets=offsets,
        sizes=sizes,
        labels=np.array([labels[key] for key in keys], dtype=np.int64),
        digests=np.frombuffer(b"".join(digest for digest, _ in found), dtype=np.uint8).reshape(-1, 32),
        problems={place: problem for place, (_, problem) in enumerate(found) if problem is not None},
    )


def read_member(shard: Path, offset: int, size: int) -> bytes:
    """The content of a member.

    Raises:
        OSError: it cannot be read, or the file ends before it.
    """
    # Opened for each image: that is little beside decoding it, and a thousand shards may be too many to
    # hold open.
    with shard.open("rb", buffering=0) as file:
        file.seek(offset)
        content = file.read(size)
    if content is None or len(content) != size:
        raise OSError(f"the file ends before byte {offset + size}")
    return content


def _samples(shard: Path) -> tuple[dict[str, tarfile.TarInfo], dict[str, int]]:
    """By key, the image of each sample (in the shard's order) and its label."""
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
                        "links replaced by files (tar --dereference --hard-dereference)"
                    )
                if extension == LABEL:
                    _refuse_second(shard, key, labels)
                    content = tar.extractfile(member)
                    labels[key] = _label(shard, key, content.read() if content else b"")
                elif "." in extension:
                    others.append(member.name)
                else:
                    _refuse_second(shard, key, images)
                    images[key] = member
            # `tarfile` takes a missing or damaged header for the end.
            file.seek(tar.offset)
            if file.read(len(END)) != END:
                raise tarfile.ReadError(f"it breaks off at byte {tar.offset}")
            while padding := file.read(2**20):
                if padding.strip(b"\0"):
                    raise DataError(
                        f"shards: {shard} continues after its end mark at byte {tar.offset}, as .tar files do "
                        "that were joined by cat; join them by tar --concatenate, or keep them apart"
                    )
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"shards: {shard} is cut, damaged or no .tar file ({error}); copy or make it again"
        ) from None
    _check_others(shard, images, others)
    _check_pairs(shard, images, labels)
    return images, labels


def _check_others(shard: Path, images: Mapping[str, object], others: Sequence[str]) -> None:
    """Refuse images with a second dot in their names, unless they accompany an image (`KEY.seg.png`)."""
    alone = [name for name in others if split_name(name)[0] not in images]
    if alone:
        key, extension = split_name(alone[0])
        raise DataError(
            f"shards: {shard}: {len(alone)} images have a second dot in their names, such as {alone[0]}, whose "
            f"key in WebDataset is {key!r} and whose extension {extension!r}; replace the dots before the last "
            "one, as in KEY.jpg and KEY.cls"
        )
    if others:
        logger.warning(
            "%s: %d images beside the KEY.jpg of their sample are not used, such as %s",
            shard, len(others), others[0],
        )  # fmt: skip


def _refuse_second(shard: Path, key: str, seen: Mapping[str, object]) -> None:
    if key in seen:
        raise DataError(f"shards: {shard} has the key {key!r} twice; give every sample a key of its own")


def _label(shard: Path, key: str, content: bytes) -> int:
    text = content.strip()
    if not (text.isdigit() and len(text) < 10):
        raise DataError(
            f"shards: {shard}: the class of {key!r} is {text[:40].decode(errors='replace')!r}; "
            f"{key}.{LABEL} must hold its number, from 0"
        )
    return int(text)


def _check_pairs(shard: Path, images: Mapping[str, object], labels: Mapping[str, object]) -> None:
    if not images:
        raise DataError(f"shards: {shard} holds no images; they must be members KEY.jpg with KEY.{LABEL}")
    for key in images:
        if key not in labels:
            raise DataError(f"shards: {shard}: the image {key!r} has no label; add a member {key}.{LABEL}")
    for key in labels:
        if key not in images:
            raise DataError(f"shards: {shard}: the label {key!r} has no image; add a member {key}.jpg")


def _record_of(shard: Path) -> Path:
    # PIL decides what can be decoded, so another version has a record of its own.
    key = hashlib.sha256(json.dumps([str(shard.resolve()), PIL.__version__]).encode()).hexdigest()
    return user_cache() / "image-shards" / f"{key[:32]}.index"


def _load(path: Path, origin: Mapping[str, str]) -> ShardIndex | None:
    """The index at `path`, unless there is none, or it is damaged or of another file."""
    try:
        tensors, metadata = load_tensors(path)
    except FileNotFoundError:
        return None
    except (DamagedFileError, OSError) as error:
        logger.warning("%s; the shard is read through instead", error)
        return None
    if metadata != {"format": FORMAT, **origin}:
        logger.info("%s is of another file or format; the shard is read through instead", path)
        return None
    names = tensors["members"].numpy().tobytes().decode("utf-8", "surrogateescape")
    return ShardIndex(
        members=tuple(names.split(SEPARATOR)),
        offsets=tensors["offsets"].numpy(),
        sizes=tensors["sizes"].numpy(),
        labels=tensors["labels"].numpy(),
        digests=tensors["digests"].numpy(),
        problems={},
    )


def _save(path: Path, index: ShardIndex, origin: Mapping[str, str]) -> None:
    names = SEPARATOR.join(index.members).encode("utf-8", "surrogateescape")
    arrays = {
        "members": np.frombuffer(names, dtype=np.uint8),
        "offsets": index.offsets,
        "sizes": index.sizes,
        "labels": index.labels,
        "digests": index.digests,
    }
    # Copied: torch dislikes arrays that it may not write to.
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    save_tensors(path, tensors, {"format": FORMAT, **origin})
