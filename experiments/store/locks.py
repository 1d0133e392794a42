"""Lock files, so that two runners on one store never compute the same artifact at once.

A lock is created exclusively and kept alive by touching it, because `fcntl` locks are unreliable on shared
file systems. It is stale once its owner's process is gone or has not touched it for a minute. Taking over a
stale lock starts with renaming it away, which only one of several contenders can do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Linux's identity of a running machine."""


@contextlib.contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Try to hold the lock `path` within the block, without waiting; yields whether this process holds it."""
    token = uuid.uuid4().hex
    if not _create(path, token) and not _take_over(path, token):
        yield False
        return
    stop = threading.Event()
    heartbeat = threading.Thread(target=_keep_alive, args=(path, token, stop), daemon=True)
    heartbeat.start()
    try:
        yield True
    finally:
        stop.set()
        heartbeat.join()
        # A process that was suspended for more than a minute may have lost its lock to another one.
        if (read(path) or {}).get("token") == token:
            path.unlink(missing_ok=True)


def owner(path: Path) -> dict[str, Any] | None:
    """Host, process and start time of the live owner of `path`; None if it is free or stale."""
    content = read(path)
    return None if content is None or _is_dead(path, content) else content


def is_stale(path: Path) -> bool:
    """Whether the owner died while holding the lock; an owner that ends normally removes the file."""
    content = read(path)
    return content is not None and _is_dead(path, content)


def read(path: Path) -> dict[str, Any] | None:
    """The owner's record, dead or alive; None without a lock, empty if the file is damaged."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) and content.keys() >= {"host", "pid"} else {}


def _create(path: Path, token: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pids_of": _pid_namespace(),
        "started": time.time(),
        "token": token,
    }
    # The file must appear with its content: it is written aside and linked, which fails if the name is taken.
    draft = path.with_name(f".{path.name}.{token}")
    try:
        with draft.open("w") as file:
            file.write(json.dumps(content))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _is_dead(path: Path, content: dict[str, Any]) -> bool:
    """Whether the owner is gone; for a damaged lock only the age counts."""
    is_local = (content.get("host"), content.get("pids_of")) == (socket.gethostname(), _pid_namespace())
    if is_local and not _is_alive(content["pid"]):
        return True
    try:
        touched = path.stat().st_mtime
        # This machine's clock is checked first, because reading the file server's clock takes a file.
        return time.time() - touched > STALE_SECONDS and _now(path) - touched > STALE_SECONDS
    except FileNotFoundError:
        return False


def _pid_namespace() -> str:
    """The namespace in which process ids are valid; containers and machines may share a host name."""
    found = ""
    with contextlib.suppress(OSError):
        found = str(Path("/proc/self/ns/pid").readlink())
    with contextlib.suppress(OSError):
        found += f" {BOOT.read_text().strip()}"
    return found


def _now(path: Path) -> float:
    """The time of the file server's clock, which may differ from this machine's by more than a minute."""
    probe = path.with_name(f".{path.name}.now.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()  # the store is read-only
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_over(path: Path, token: str) -> bool:
    content = read(path)
    if content is None or not _is_dead(path, content):
        return False
    moved = path.with_name(f".{path.name}.stale.{token}")
    try:
        path.rename(moved)
    except FileNotFoundError:
        return False
    if read(moved) != content:
        # Another contender was faster, and the moved file is its live lock: put it back.
        with contextlib.suppress(FileExistsError):
            os.link(moved, path)
        moved.unlink()
        return False
    moved.unlink()
    return _create(path, token)


def _keep_alive(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):
            if (read(path) or {}).get("token", token) != token:
                return  # another process has taken over the lock
            os.utime(path)
