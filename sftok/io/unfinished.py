"""Atomic writing: an incomplete file has a temporary name, so readers never see half of a file."""

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
    """A hidden, unique name beside `path` (process ids would repeat across containers).

    Long names are truncated, because file systems allow only 255 bytes.
    """
    beginning = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES]).encode(errors="ignore").decode()
    return path.with_name(f".{beginning}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def atomic(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary name, and rename the file to `path` if the block ends without an error.

    With `flush`, the content reaches the disk before the rename, so a power cut leaves no empty file.

    Raises:
        OSError: the file cannot be written; `path` is left unchanged.
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
    """Atomically replace the content of `path` with `text`, in UTF-8; see `atomic`."""
    with atomic(path, flush=flush) as temporary:
        temporary.write_text(text, encoding="utf-8")


def clear_unfinished(folder: Path, older_than: float | None = None) -> None:
    """Delete the temporary files that killed writers left in `folder`.

    No other process may write there, unless `older_than` (seconds since the last write) spares its files.
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
