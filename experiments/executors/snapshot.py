"""The code that jobs run: a copy made when they are submitted, so that later edits reach none of them.

A snapshot holds the packages of the checkout as they are, changes and new files included, ignored files not.
It is named by its content: submissions of the same code share one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path

from experiments.running.provenance import COMMIT_FILE, checkout_commit

PACKAGES = ("sftok", "experiments", "ablations", "reports")


def take_snapshot(folder: Path) -> Path:
    """Copy the running code into `folder/<hash>` unless it is there; returns that path, for `PYTHONPATH`."""
    root = Path(__file__).resolve().parents[2]
    files = list(_files(root))
    digest = hashlib.sha256()
    for relative in files:
        digest.update(f"{relative}\n".encode() + hashlib.sha256((root / relative).read_bytes()).digest())
    target = folder / digest.hexdigest()[:16]
    if target.is_dir():
        return target
    draft = folder / f".{target.name}.{uuid.uuid4().hex}"
    try:
        for relative in files:
            destination = draft / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / relative, destination)
        (draft / COMMIT_FILE).write_text(checkout_commit())
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        # It is no matter if another submission was faster with the same code.
        if not target.is_dir():
            raise
    return target


def _files(root: Path) -> Iterable[Path]:
    """What git knows or would add, of the packages; outside a checkout all but caches."""
    packages = [name for name in PACKAGES if (root / name).is_dir()]
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *packages],
            cwd=root,
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout.decode()
        found = [Path(name) for name in listed.split("\0") if name]
    except (OSError, subprocess.SubprocessError):
        found = []
    if not found:
        found = [path.relative_to(root) for name in packages for path in (root / name).rglob("*")]
    return sorted(path for path in set(found) if "__pycache__" not in path.parts and (root / path).is_file())
