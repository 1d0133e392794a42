"""Checkpoints of any origin, read under this package's names: what to build, and its weights.

`location` finds the file, `files` reads it without running anything in it, `layouts` tells which model it
holds. This package builds no models, so that models can depend on it.
"""

from __future__ import annotations

from pathlib import Path

from sftok.checkpoints.checkpoint import Checkpoint, CheckpointError
from sftok.checkpoints.files import CONFIG_FILE, WEIGHTS_FILE, read_file
from sftok.checkpoints.layouts import interpret
from sftok.checkpoints.location import locate

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "Checkpoint", "CheckpointError", "read_checkpoint"]


def read_checkpoint(reference: str | Path, teacher: str | Path | None = None) -> Checkpoint:
    """The checkpoint at a path or hub id, completed with the pixel decoder of `teacher` if it has none.

    Raises:
        CheckpointError: see `Pretrained.from_pretrained`.
    """
    checkpoint = interpret(read_file(locate(str(reference))))
    if teacher is not None:
        return checkpoint.completed_by(interpret(read_file(locate(str(teacher)))))
    checkpoint.check_complete()
    return checkpoint
