"""How a run is asked to stop, and what it says when it did."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that was told to stop and did."""


class Interrupted(RuntimeError):
    """The run was asked to stop; the same command goes on from there."""


class Stop:
    """A request to stop, made by a signal and answered at the next checkpoint."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def requested(self) -> bool:
        """True once a signal asked."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask."""
        self._event.set()

    @contextlib.contextmanager
    def on_signals(
        self, numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM), second_kills: bool = True
    ) -> Iterator[None]:
        """Within the block the first signal asks to stop, and (with `second_kills`) the same again kills.

        A person who presses Ctrl-C twice means it; a scheduler repeats itself while we still checkpoint.
        Ctrl-C reaches the processes that we started, too, and our SIGTERM after it must not cut them short.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in numbers}

        def ask(number: int, frame: FrameType | None) -> None:
            self.request()
            if second_kills:
                signal.signal(number, signal.SIG_DFL)

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
