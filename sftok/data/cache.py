"""Where `sftok` keeps what it can get again: the user's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """`sftok` in the cache folder of the user, which need not exist yet.

    `XDG_CACHE_HOME` decides if it is an absolute path (others are ignored, as its standard demands);
    else the platform's own place.
    """
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if Path(chosen).is_absolute():
        return Path(chosen) / "sftok"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "sftok"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "sftok" / "Cache"
    return Path.home() / ".cache" / "sftok"
