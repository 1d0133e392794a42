"""Where a file is written before it is renamed to what it will be called."""

from __future__ import annotations

import uuid
from pathlib import Path


def unfinished(path: Path) -> Path:
    """A hidden name beside `path` that nobody else takes: process numbers repeat between containers."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
