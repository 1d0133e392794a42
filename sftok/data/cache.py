"""The user's cache, and cached tables of information about image files."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import PIL
import torch

from sftok.io.weights import DamagedFileError, load_tensors, save_tensors

logger = logging.getLogger(__name__)

SETTLED_SECONDS = 2.0
"""A file modified less than this before it was read may change again with the same modification time."""
_SEPARATOR = "\0"
"""Separates names in a table; no file name contains it."""


def user_cache() -> Path:
    """The folder of `sftok` in the user's cache, which may not exist yet.

    `XDG_CACHE_HOME` is used if it is an absolute path (its standard says to ignore others), otherwise the
    platform's default.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if Path(chosen).is_absolute():
        return Path(chosen) / "sftok"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "sftok"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "sftok" / "Cache"
    return Path.home() / ".cache" / "sftok"


def table_of(images: Path, folder: str) -> Path:
    """The file in `folder` of the cache with information about `images`, a folder or a shard."""
    # PIL determines which files can be decoded, so each version of it has its own table.
    key = hashlib.sha256(json.dumps([str(images.resolve()), PIL.__version__]).encode()).hexdigest()
    return user_cache() / folder / f"{key[:32]}.index"


def is_settled(modified: int) -> bool:
    """Whether a file with this modification time (nanoseconds since the epoch) cannot change unnoticed."""
    return time.time() - modified / 1e9 > SETTLED_SECONDS


def load_table(
    path: Path, dtype: np.dtype, origin: Mapping[str, str]
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Load the names and entries at `path`; None if the file is missing, damaged or of another origin."""
    try:
        tensors, metadata = load_tensors(path)
    except FileNotFoundError:
        return None
    except (DamagedFileError, OSError) as error:
        logger.warning("%s; the images are examined again", error)
        return None
    if metadata != {"dtype": str(dtype), **origin}:
        return None
    names = tensors["names"].numpy().tobytes().decode("utf-8", "surrogateescape")
    entries = np.frombuffer(tensors["entries"].numpy().tobytes(), dtype=dtype)
    return tuple(names.split(_SEPARATOR)), entries


def save_table(path: Path, names: Iterable[str], entries: np.ndarray, origin: Mapping[str, str]) -> None:
    """Write the names (at least one) and entries of images; `origin` identifies their files.

    Raises:
        OSError: `path` cannot be written.
    """
    joined = _SEPARATOR.join(names).encode("utf-8", "surrogateescape")
    # Torch warns about buffers that it cannot write to, such as `bytes`.
    contents = {"names": bytearray(joined), "entries": bytearray(entries.tobytes())}
    tensors = {name: torch.frombuffer(content, dtype=torch.uint8) for name, content in contents.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, {"dtype": str(entries.dtype), **origin})


def cache_table(path: Path, names: Iterable[str], entries: np.ndarray, origin: Mapping[str, str]) -> None:
    """Like `save_table`, but failures are only logged: without the cache, everything is examined again."""
    try:
        save_table(path, names, entries, origin)
    except OSError as error:
        logger.warning("cannot write to the cache (%s)", error)
