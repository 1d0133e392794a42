"""Requests to stop a run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that stopped on request."""

PARENT = "SFTOK_STUDY_PARENT"
"""The environment variable with the pid of the process that started an additional worker of a study."""

JOB_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Slurm sends SIGTERM before it kills (preemption, scancel) and SIGUSR2 as the requested notice."""


class Interrupted(RuntimeError):
    """The run was asked to stop; the same command resumes it."""


class Stop:
    """A request to stop, made by a signal and answered at the next checkpoint."""

    second_kills = True
    """Whether repeating a signal kills: a user who presses Ctrl-C twice means it."""

    def __init__(self) -> None:
        # Not a `threading.Event`: its lock could be held by the code that a second signal interrupts.
        self._requested = False

    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._requested

    def request(self) -> None:
        """Ask to stop."""
        self._requested = True

    @contextlib.contextmanager
    def on_signals(
        self, numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGTERM), second_kills: bool = True
    ) -> Iterator[None]:
        """Within the block the first signal requests a stop; with `second_kills`, repeating it kills.

        A scheduler repeats its signal while a checkpoint is written, so in jobs that must not kill. Each
        signal counts separately: a launcher's SIGTERM after Ctrl-C must not kill.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in numbers}

        def ask(number: int, frame: FrameType | None) -> None:
            self.request()
            if second_kills and self.second_kills:
                signal.signal(number, signal.SIG_DFL)

        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class StopWithParent(Stop):
    """A request to stop, made by a signal, which the parent may repeat, or by the end of the parent."""

    second_kills = False

    def __init__(self, parent: int):
        """`parent` is the parent's pid; the parent passes it, because it may already be gone."""
        super().__init__()
        self._parent = parent

    def requested(self) -> bool:
        """Whether a stop was requested or the parent is gone."""
        if os.getppid() != self._parent:
            self.request()
        return super().requested()
