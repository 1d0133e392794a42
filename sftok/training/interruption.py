"""How a training ends that was asked to stop; in a file of its own, which imports no torch."""

from __future__ import annotations


class TrainingInterrupted(RuntimeError):
    """The monitor asked to stop; a checkpoint was written."""
