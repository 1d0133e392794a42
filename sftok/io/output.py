"""Standard output whose reader has left, as `head` does after its lines."""

from __future__ import annotations

import contextlib
import os
import select
import sys


def reader_left() -> bool:
    """Flush what was printed; whether nobody reads it any more, and what is left of it is dropped."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    try:
        output = sys.stdout.fileno()
    except OSError:
        return False  # no file: somebody who called us collects what is printed
    watched = select.poll()
    watched.register(output, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in watched.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True
