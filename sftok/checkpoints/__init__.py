"""Reads checkpoints of any origin under this package's names: the model to build, and its weights.

`location` finds the file, `files` reads it without executing its contents, `layouts` identifies the model it
holds. This package builds no models, so models can depend on it.
"""

from __future__ import annotations

from pathlib import Path

from sftok.checkpoints.checkpoint import Checkpoint, CheckpointError
from sftok.checkpoints.files import CONFIG_FILE, WEIGHTS_FILE, read_file
from sftok.checkpoints.layouts import interpret
from sftok.checkpoints.location import locate

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "Checkpoint", "CheckpointError", "read_checkpoint"]


def read_checkpoint(reference: str | Path, teacher: str | Path | None = None) -> Checkpoint:
    """Read the checkpoint at a path or hub id, adding the pixel decoder of `teacher` if it has none.

    Raises:
        CheckpointError: see `Pretrained.from_pretrained`.
    """
    checkpoint = interpret(read_file(locate(str(reference))))
    if teacher is not None:
        return checkpoint.completed_by(interpret(read_file(locate(str(teacher)))))
    checkpoint.check_complete()
    return checkpoint
