"""JSON files, written atomically and read with errors that name the file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sftok.io.unfinished import unfinished, write_text


class StoreError(RuntimeError):
    """The store or one of its files cannot be used; the message names the path and the remedy."""


def write_json(path: Path, content: Mapping[str, Any], *, flush: bool = False) -> None:
    """Write `content` under a temporary name and rename it, so that readers never see a partial file.

    With `flush`, the content is flushed to disk before the rename, so that a power cut leaves no empty file.
    """
    write_text(path, json.dumps(content, indent=1, sort_keys=True), flush=flush)


def write_first_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` unless the file exists; exactly one of several processes or machines succeeds."""
    draft = unfinished(path)
    try:
        draft.write_text(json.dumps(content, indent=1, sort_keys=True))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_json(path: Path, remedy: str = "delete it and run again") -> dict[str, Any] | None:
    """The object in a JSON file; None if there is no such file.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise ValueError(f"not an object: {content!r:.20}")
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise StoreError(f"{path}: damaged ({' '.join(str(error).split())}); {remedy}") from None
    return content


def readable_json(path: Path) -> dict[str, Any] | None:
    """Like `read_json`, but also None for a damaged file."""
    with contextlib.suppress(StoreError):
        return read_json(path)
    return None
