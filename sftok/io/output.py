"""Detects that the reader of standard output has left, as `head` does once it has its lines."""

from __future__ import annotations

import contextlib
import os
import select
import sys


def reader_left() -> bool:
    """Flush standard output and return whether its reader has left; if so, further output is discarded."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    try:
        output = sys.stdout.fileno()
    except OSError:
        return False  # not a file: the caller captures the output
    watched = select.poll()
    watched.register(output, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True
