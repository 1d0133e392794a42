"""Any generator by one string: a file, a folder or a hub id, in this package's format or as released."""

from __future__ import annotations

from pathlib import Path

from sftok.checkpoints import CheckpointError, read_checkpoint
from sftok.checkpoints.pretrained import without_weights
from sftok.config import ConfigError
from sftok.generators.base import Generator, GeneratorRecord


def open_generator(reference: str | Path, config: GeneratorRecord | None = None) -> Generator:
    """The generator that `reference` names, of any kind, in evaluation mode, on the CPU, in float32.

    Args:
        reference: as for `Pretrained.from_pretrained`.
        config: as there: LlamaGen's files for 384 pixels, for example, do not tell that they have 576 tokens.

    Raises:
        CheckpointError: as `from_pretrained`; or it is not a generator.
    """
    checkpoint = read_checkpoint(reference)
    if "model" not in checkpoint.record:
        raise CheckpointError(f"{checkpoint.source}: a {checkpoint.architecture!r}, which is not a generator")
    try:
        record = config or GeneratorRecord.build(dict(checkpoint.record))
    except ConfigError as error:
        raise CheckpointError(
            f"{checkpoint.source}: its configuration cannot be used: {error}; "
            "what is not in the file can be given to open_generator(..., config=CONFIG)"
        ) from None
    with without_weights():  # only the configuration knows the class of its network
        kind = type(Generator.from_config(record))
    return kind.from_checkpoint(checkpoint, config)
