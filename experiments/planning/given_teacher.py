"""A teacher that is trained already: found, read and compared before anything is planned on it."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.recipe import Recipe
from sftok.config import ConfigError

WEIGHTS = "teacher"
"""Beside the splits of the data: the fingerprint of the given weights."""


def weights_fingerprint(recipe: Recipe) -> Mapping[str, str]:
    """What identifies the weights of `teacher.checkpoint`; nothing where the teacher is trained.

    Raises:
        CheckpointError: they cannot be had, or are damaged.
        ConfigError: they are no teacher, or one of another size than the recipe's.
    """
    checkpoint = recipe.teacher.checkpoint
    if checkpoint is None:
        return {}
    # Imported here: most plans need no torch.
    from sftok.hub import identity, open_tokenizer
    from sftok.teacher.vqgan import MaskGITVQGAN

    given = open_tokenizer(checkpoint)
    if not isinstance(given, MaskGITVQGAN):
        raise ConfigError(
            f"teacher.checkpoint = {checkpoint}: a {given.architecture}, which gives no codes of 2D positions"
        )
    wanted, found = recipe.teacher_config().model_dump(), given.record.model_dump()
    for name, value in wanted.items():
        if found[name] != value:
            raise ConfigError(
                f"teacher.checkpoint = {checkpoint}: its {name} is {found[name]}, the recipe's is {value}"
            )
    return {WEIGHTS: identity(given)}
