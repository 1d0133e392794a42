"""The running commit, and snapshots of the code for cluster jobs, which later edits do not affect.

A snapshot holds the packages of the checkout, including changes and new files but not ignored files. It is
named by a hash of its content and commit, so submissions of the same code share one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from sftok.io.unfinished import unfinished

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sftok", "experiments", "ablations", "reports")
COMMIT_FILE = ".commit"
"""The file in a snapshot with the commit it was taken from."""


def checkout_commit() -> str:
    """The checkout's commit, with `+changes` if its packages differ; `unknown` outside a checkout."""
    noted = ROOT / COMMIT_FILE
    if noted.is_file():
        return noted.read_text()
    try:
        if Path(_git("rev-parse", "--show-toplevel").strip()).resolve() != ROOT:
            return "unknown"  # installed within another repository
        commit = _git("rev-parse", "HEAD").strip()
        return f"{commit}+changes" if _git("status", "--porcelain", "--", *PACKAGES) else commit
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def take_snapshot(folder: Path) -> Path:
    """Copy the running code to `folder/<hash>` unless it exists; returns that path, for `PYTHONPATH`."""
    files = list(_files())
    digest = hashlib.sha256(checkout_commit().encode())
    for relative in files:
        digest.update(f"{relative}\n".encode() + hashlib.sha256((ROOT / relative).read_bytes()).digest())
    target = folder / digest.hexdigest()[:16]
    if target.is_dir():
        return target
    draft = unfinished(target)
    try:
        for relative in files:
            destination = draft / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / relative, destination)
        (draft / COMMIT_FILE).write_text(checkout_commit())
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        # Another submission of the same code may have been faster.
        if not target.is_dir():
            raise
    return target


def _files() -> Iterable[Path]:
    """The files of the packages that git tracks or would add; without git, all files except caches."""
    packages = [name for name in PACKAGES if (ROOT / name).is_dir()]
    try:
        listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *packages)
        found = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.SubprocessError):
        found = []
    if not found:
        found = [path.relative_to(ROOT) for name in packages for path in (ROOT / name).rglob("*")]
    return sorted(path for path in set(found) if "__pycache__" not in path.parts and (ROOT / path).is_file())


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout
