"""The exception of a stopped training, in its own file, because importing this needs no torch."""

from __future__ import annotations


class TrainingInterrupted(RuntimeError):
    """The monitor asked to stop; a checkpoint was written."""
