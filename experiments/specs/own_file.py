"""The user's own Python file, which may define an experiment or a study, and the components that they use.

A stored request names the file by its source, `{"name", "path", "sha256"}`, and a copy is kept next to the
request: workers, jobs and reports import the copy, so they see the file as it was.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from sftok.config import ConfigError
from sftok.io.unfinished import atomic


def source_of(path: Path) -> dict[str, str]:
    """The source record that a request stores."""
    return {"name": path.stem, "path": str(path.absolute()), "sha256": _content(path)}


def source_copy(source: Mapping[str, str]) -> str:
    """The file name of the copy, different for each version."""
    return f"{source['name']}-{source['sha256'][:16]}.py"


def keep_copy(source: Mapping[str, str], folder: Path) -> None:
    """Copy the file into `folder` from where it was imported: its path, or an earlier request's copy."""
    module = sys.modules.get(source["name"])
    imported_from = Path(getattr(module, "__file__", None) or source["path"])
    copy = folder / source_copy(source)
    if not copy.exists():
        with atomic(copy) as temporary:
            shutil.copyfile(imported_from, temporary)


def import_file(path: Path) -> ModuleType:
    """Import a Python file as a module of its name, so that configurations can refer to `name:Class`.

    Raises:
        ConfigError: there is no such file, its name is taken, or importing it fails.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    name = path.stem
    known = sys.modules.get(name)
    if known is not None and Path(getattr(known, "__file__", None) or "") == path.absolute():
        return known
    # The folder of the file may be on `sys.path`; the current folder always is.
    found = importlib.util.find_spec(name) if name.isidentifier() and known is None else None
    if not name.isidentifier() or known is not None or (found and found.origin != str(path.absolute())):
        raise ConfigError(
            f"{path}: {name!r} is the name of another module, or not a valid one; rename the file"
        )
    return _load(name, path)


def import_source(source: Mapping[str, str], folder: Path) -> ModuleType | None:
    """Import the file that a stored request names from its copy in `folder`.

    Raises:
        ConfigError: the copy is missing, importing it fails, or a changed version is already imported.
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
