"""What a number came from, besides its configuration: code, versions, machine."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMIT_FILE = ".commit"
"""In a snapshot of the code: the commit that it was taken from."""

PACKAGES = ("sftok", "torch", "torchvision", "timm", "torch-fidelity", "numpy")


@functools.cache
def provenance() -> dict[str, Any]:
    """Commit, package versions, CPU and threads of this process."""
    # A maker that computes without torch need not wait for its import.
    torch = sys.modules.get("torch")
    return {
        "commit": checkout_commit(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in PACKAGES},
        "cpu": _cpu(),
        "threads": torch.get_num_threads() if torch else 1,
        "host": platform.node(),
    }


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def checkout_commit() -> str:
    """The checkout's commit, with `+changes` if files differ from it; `unknown` outside a checkout."""
    root = Path(__file__).parents[2]
    noted = root / COMMIT_FILE
    if noted.is_file():
        return noted.read_text()

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        commit = git("rev-parse", "HEAD")
        return f"{commit}+changes" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
