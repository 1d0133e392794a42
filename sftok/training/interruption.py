"""The exception for interrupted training, in its own file because importing this does not need torch."""

from __future__ import annotations


class TrainingInterrupted(RuntimeError):
    """The monitor asked to stop; a checkpoint was written."""
