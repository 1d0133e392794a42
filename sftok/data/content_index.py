"""What is known of the content of image files: its hash, and whether it can be decoded.

A file is read once; its hash is kept in the user's cache under its path, size and modification time. So a
fingerprint goes by content, and yet a big folder costs no more than a `stat` of each file the next time.
Of a file that cannot be read or decoded nothing is kept: it is tried again every time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import PIL

from sftok.data.cache import user_cache
from sftok.data.transforms import UnreadableImageError, decode

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60.0
"""How much work an interruption may lose."""
SETTLED_SECONDS = 2.0
"""A file changed less than this before it was read may change again without its time showing it."""
CHUNK = 4096
"""So many files between two looks at the clock, and"""
PART = 32
"""so many handed to a thread at once."""
THREADS = min(16, os.cpu_count() or 1)


@dataclass(frozen=True)
class Content:
    """What was found in a file that can be decoded.

    Attributes:
        size: bytes, and
        modified: nanoseconds since the epoch, when it was read.
        sha256: of its content (hex).
    """

    size: int
    modified: int
    sha256: str


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read or decoded.

    Attributes:
        problem: why, in part of a line.
    """

    problem: str


def examine(root: Path, files: Sequence[str]) -> list[Content | Unreadable]:
    """The content of each of `files` (paths relative to `root`), from the cache where that is current."""
    record = _record_of(root)
    known = _load(record)
    found: list[Content | Unreadable] = []
    fresh, saved = 0, time.monotonic()
    with ThreadPoolExecutor(THREADS, "sftok-examine") as pool:
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            parts = [chunk[place : place + PART] for place in range(0, len(chunk), PART)]
            contents = list(chain.from_iterable(pool.map(partial(_contents, root, known), parts)))
            found += contents
            for file, content in zip(chunk, contents, strict=True):
                if content is not known.get(file) and isinstance(content, Content) and _settled(content):
                    known[file] = content
                    fresh += 1
            if fresh and time.monotonic() - saved > SAVE_SECONDS:
                logger.info("%s: %d of %d image files examined", root, len(found), len(files))
                _save(record, known)
                fresh, saved = 0, time.monotonic()
    if fresh:
        _save(record, known)
    return found


def _contents(root: Path, known: dict[str, Content], files: Sequence[str]) -> list[Content | Unreadable]:
    return [_content(root / file, known.get(file)) for file in files]


def _content(file: Path, known: Content | None) -> Content | Unreadable:
    try:
        status = file.stat()
        size, modified = status.st_size, status.st_mtime_ns
        if known is not None and (known.size, known.modified) == (size, modified):
            return known
        if not stat.S_ISREG(status.st_mode):
            return Unreadable("not a regular file")
        data = file.read_bytes()
        decode(data)
    except OSError as error:
        return Unreadable(error.strerror or str(error))
    except UnreadableImageError as error:
        return Unreadable(str(error))
    return Content(size, modified, hashlib.sha256(data).hexdigest())


def _settled(content: Content) -> bool:
    return time.time() - content.modified / 1e9 > SETTLED_SECONDS


def _record_of(root: Path) -> Path:
    # PIL decides what can be decoded, so another version has a record of its own.
    key = hashlib.sha256(json.dumps([str(root.resolve()), PIL.__version__]).encode()).hexdigest()
    return user_cache() / "image-folders" / f"{key[:32]}.jsonl"


def _load(record: Path) -> dict[str, Content]:
    try:
        with record.open(encoding="ascii") as lines:
            rows = map(json.loads, lines)
            return {file: Content(size, modified, sha256) for file, size, modified, sha256 in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s is damaged (%s); the image files are examined anew", record, error)
        return {}


def _save(record: Path, known: dict[str, Content]) -> None:
    # Beside another process the last one wins, and what is lost is examined again.
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=record.parent, prefix=".incoming-") as temporary:
            complete = Path(temporary) / record.name
            with complete.open("w", encoding="ascii") as lines:
                for file, content in known.items():
                    lines.write(json.dumps([file, content.size, content.modified, content.sha256]) + "\n")
            complete.replace(record)
    except OSError as error:
        logger.warning("cannot keep what was found of the image files in %s (%s)", record, error)
