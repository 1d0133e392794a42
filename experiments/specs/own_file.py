"""A Python file of the user's own: it may define an experiment or a study, and the parts that they use.

A stored request names the file by its source, `{"name", "path", "sha256"}`, and a copy of it is kept beside
the request: workers, jobs and reports import that copy, so they see the file as it was.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from sftok.config import ConfigError
from sftok.io.unfinished import write_text


def source_of(path: Path) -> dict[str, str]:
    """The source that a request stores."""
    return {"name": path.stem, "path": str(path.absolute()), "sha256": _content(path)}


def source_copy(source: Mapping[str, str]) -> str:
    """The name of the copy: different versions do not replace each other."""
    return f"{source['name']}-{source['sha256'][:16]}.py"


def keep_copy(source: Mapping[str, str], folder: Path) -> None:
    """Copy the file into `folder` from where it was imported: its path, or the copy of an earlier request."""
    module = sys.modules.get(source["name"])
    imported_from = Path(getattr(module, "__file__", None) or source["path"])
    copy = folder / source_copy(source)
    if not copy.exists():
        write_text(copy, imported_from.read_text(encoding="utf-8"))


def import_file(path: Path) -> ModuleType:
    """Import a Python file as the module of its name, so that configurations can name its parts `name:Class`.

    ConfigError, one line, if there is no such file, its name is taken, or it fails.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and Path(getattr(known, "__file__", None) or "") == path.absolute():
        return known
    # The folder of the file may be on the path, and is if it is the current one.
    found = importlib.util.find_spec(name) if name.isidentifier() and known is None else None
    if not name.isidentifier() or known is not None or (found and found.origin != str(path.absolute())):
        raise ConfigError(
            f"{path}: {name!r} is the name of another module, or no module name; rename the file"
        )
    return _load(name, path)


def import_source(source: Mapping[str, str], folder: Path) -> ModuleType | None:
    """Import the file that a stored request names, as it was at the time: its copy in `folder`.

    ConfigError if the copy is missing, the file fails, or a changed version of it is imported already.
    """
    if not source:
        return None
    name = source["name"]
    if (known := sys.modules.get(name)) is not None:
        if _content(Path(known.__file__ or "")) == source["sha256"]:
            return known
        raise ConfigError(f"{source['path']}: has changed since this was requested; run the command again")
    copy = folder / source_copy(source)
    if not copy.is_file():
        raise ConfigError(f"{copy}: missing (the copy of {source['path']}); run the command again")
    return _load(name, copy)


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        reason = " ".join(str(error).split()) or "no message"
        raise ConfigError(f"{path}: cannot be imported ({type(error).__name__}: {reason})") from None
    return module


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
