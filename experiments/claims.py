"""Who computes an artifact: a claim file, so that two runners on one store never do the same work at once.

Made with an exclusive create and kept alive by touching it; no `fcntl` locks, which shared file systems do
not keep. A claim whose owner died (its process is gone, or it has not been touched for a minute) is taken
over by renaming it away first: only one of several contenders can win that rename.
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


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Try to own `path` for the block; yields whether we do. Never waits."""
    token = uuid.uuid4().hex
    if not _create(path, token) and not _take_over(path, token):
        yield False
        return
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, token, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        heart.join()
        # A process that slept for more than a minute may have lost its claim to another.
        if (_read(path) or {}).get("token") == token:
            path.unlink(missing_ok=True)


def owner(path: Path) -> dict[str, Any] | None:
    """Host, process and start time of the live owner of `path`; None if it is free or stale."""
    content = _read(path)
    return None if content is None or _has_died(path, content) else content


def is_stale(path: Path) -> bool:
    """Whether the owner died with the claim in its hands: whoever ends in order takes the file away."""
    content = _read(path)
    return content is not None and _has_died(path, content)


def _create(path: Path, token: str) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "pids_of": _namespace(),
        "started": time.time(),
        "token": token,
    }
    # A file that appears with its content: written aside, then linked, which fails if the name is taken.
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


def _read(path: Path) -> dict[str, Any] | None:
    """None if there is no claim; nothing is known of the owner of a damaged one, whose age alone counts."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return content if isinstance(content, dict) and content.keys() >= {"host", "pid"} else {}


def _has_died(path: Path, content: dict[str, Any]) -> bool:
    ours = (content.get("host"), content.get("pids_of")) == (socket.gethostname(), _namespace())
    if ours and not _alive(content["pid"]):
        return True
    try:
        touched = path.stat().st_mtime
        # Our own clock is asked first, as the other one costs a file.
        return time.time() - touched > STALE_SECONDS and _now(path) - touched > STALE_SECONDS
    except FileNotFoundError:
        return False


def _namespace() -> str:
    """Within what process numbers mean something: containers of one host's name may have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _now(path: Path) -> float:
    """The time by the clock that dates `path`: a file server's may differ from ours by more than a minute."""
    probe = path.with_name(f".{path.name}.now.{uuid.uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()  # we may only read here, as somebody else's store
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take_over(path: Path, token: str) -> bool:
    content = _read(path)
    if content is None or not _has_died(path, content):
        return False
    grave = path.with_name(f".{path.name}.stale.{token}")
    try:
        path.rename(grave)
    except FileNotFoundError:
        return False
    if _read(grave) != content:
        # Another contender was faster and what we moved is its live claim: put it back.
        with contextlib.suppress(FileExistsError):
            os.link(grave, path)
        grave.unlink()
        return False
    grave.unlink()
    return _create(path, token)


def _beat(path: Path, token: str, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with contextlib.suppress(OSError):
            if (_read(path) or {}).get("token", token) != token:
                return  # taken over: its owner keeps it alive
            os.utime(path)
