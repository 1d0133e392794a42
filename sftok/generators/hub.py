"""Opens any generator by one string: a file, a folder or a hub id, in our format or as released."""

from __future__ import annotations

from pathlib import Path

from sftok.checkpoints import CheckpointError, read_checkpoint
from sftok.checkpoints.pretrained import without_weights
from sftok.config import ConfigError
from sftok.generators.base import Generator, GeneratorRecord


def open_generator(reference: str | Path, config: GeneratorRecord | None = None) -> Generator:
    """Open the generator that `reference` names, in evaluation mode, on the CPU, in float32.

    Args:
        reference: as for `Pretrained.from_pretrained`.
        config: as for `Pretrained.from_pretrained`; for example, LlamaGen's files for 384 pixels do not
            determine that they have 576 tokens.

    Raises:
        CheckpointError: as for `from_pretrained`, or the checkpoint is not a generator.
    """
    checkpoint = read_checkpoint(reference)
    if "model" not in checkpoint.record:
        raise CheckpointError(f"{checkpoint.source}: a {checkpoint.architecture!r}, which is not a generator")
    try:
        record = config or GeneratorRecord.build(dict(checkpoint.record))
    except ConfigError as error:
        raise CheckpointError(
            f"{checkpoint.source}: its configuration cannot be used: {error}; "
            "pass values that are not in the file with open_generator(..., config=CONFIG)"
        ) from None
    with without_weights():  # only the configuration determines the class of its network
        kind = type(Generator.from_config(record))
    return kind.from_checkpoint(checkpoint, config)
