"""What a profile is."""

from __future__ import annotations

from typing import Any

from sftok.config import Config


class Profile(Config):
    """A scale at which every spec can run."""

    name: str
    purpose: str
    """One line for `list` and for reports."""
    overlay: dict[str, Any]
    """Recipe values by dotted key; what it does not name is the paper's."""
    meaningless: bool = False
    """True if its numbers say only that the code runs."""
    threads: int | None = None
    """Threads of a process that computes on CPUs; the last bits depend on it. None: all cores."""
    seconds_per_step: dict[str, float] = {}
    """Expected time of a unit of work by kind of artifact, until the store has measured ones."""
