"""Atomic writing: what is incomplete has a temporary name, so that no reader sees half of a file."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_NAME_BYTES = 200


def unfinished(path: Path) -> Path:
    """A hidden, unique name beside `path`; process numbers would repeat between containers.

    It holds only the beginning of a long name: file systems allow 255 bytes.
    """
    beginning = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES]).encode(errors="ignore").decode()
    return path.with_name(f".{beginning}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def atomic(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Write a file under the yielded name; it is renamed to `path` if the block ends without an error.

    With `flush`, the content is on the disk before the file has its name: a power cut leaves no empty file.

    Raises:
        OSError: the file cannot be written; whatever was at `path` is unchanged.
    """
    temporary = unfinished(path)
    try:
        yield temporary
        if flush:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, flush: bool = True) -> None:
    """Replace the content of `path` by `text`, in UTF-8, in one step; see `atomic`."""
    with atomic(path, flush=flush) as temporary:
        temporary.write_text(text, encoding="utf-8")


def clear_unfinished(folder: Path, older_than: float | None = None) -> None:
    """Delete what killed writers left in `folder`.

    Nobody else may be writing there, unless `older_than` (seconds since the last write) spares their files.
    """
    for left in folder.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if older_than is None or time.time() - left.stat().st_mtime > older_than:
                _delete(left)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
