"""Where a file or folder is written before it is renamed to what it will be called."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from pathlib import Path

_NAME_BYTES = 200


def unfinished(path: Path) -> Path:
    """A hidden name beside `path` that nobody else takes: process numbers repeat between containers.

    Of a long name only the beginning is in it: file systems take no more than 255 bytes.
    """
    beginning = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES]).encode(errors="ignore").decode()
    return path.with_name(f".{beginning}.{uuid.uuid4().hex}.tmp")


def clear_unfinished(folder: Path, older_than: float | None = None) -> None:
    """Delete what writers that were killed left in `folder`.

    Unless `older_than` (seconds since the last write) tells them apart, nobody else may be writing there.
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
