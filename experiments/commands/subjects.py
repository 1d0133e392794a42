"""Finds the subject that the options of `evaluate` name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.commands.evaluate import SubjectOptions
from experiments.specs.own_file import import_file
from sftok.config import ConfigError
from sftok.evaluation.subjects.base import SubjectConfig
from sftok.evaluation.subjects.diffusers import is_diffusers

CODEC = "codec:"
BUILD = "build"
"""The function to call if a module is given without one."""

DIFFUSERS = "diffusers:"
RANDOM = "random:"
KINDS = "CHECKPOINT, --tokenizer, --reconstructions or --samples"
OF_KIND = {
    "pair": ("images", "--reconstructions"),
    "quality": ("codec", "codec:NAME"),
    "teacher": ("checkpoint", "a checkpoint"),
}
"""Options that apply to only one kind of subject, with the kind and its description."""


def chosen_subject(checkpoint: str | None, options: SubjectOptions) -> SubjectConfig | Path:
    """The subject to measure, or the path of generated images.

    Raises:
        ConfigError: not exactly one subject is given, or an option does not apply to it.
    """
    named = (checkpoint, options.tokenizer, options.reconstructions, options.samples)
    if (given := sum(each is not None for each in named)) != 1:
        raise ConfigError(f"give exactly one of {KINDS}, not {given or 'none'}")
    values = {} if options.samples is not None else _values(checkpoint, options)
    for option, (kind, what) in OF_KIND.items():
        if getattr(options, option) is not None and values.get("name") != kind:
            raise ConfigError(f"--{option} is for {what}")
    if options.seed is not None and not (checkpoint or "").startswith(RANDOM):
        raise ConfigError(f"--seed is for {RANDOM}NAME")
    if options.samples is not None:
        return options.samples
    return SubjectConfig.find(values["name"]).build(values)


def _values(checkpoint: str | None, options: SubjectOptions) -> dict[str, Any]:
    if options.tokenizer is not None:
        return {"name": "own", "location": _imported(options.tokenizer)}
    if options.reconstructions is not None:
        location = str(options.reconstructions.absolute())
        return {"name": "images", "location": location, "pair": options.pair}
    assert checkpoint is not None
    if checkpoint.startswith(CODEC):
        qualities = {} if options.quality is None else {"qualities": options.quality}
        return {"name": "codec", "codec": checkpoint.removeprefix(CODEC), **qualities}
    if checkpoint.startswith(DIFFUSERS) or is_diffusers(Path(checkpoint)):
        return {"name": "diffusers", "location": checkpoint.removeprefix(DIFFUSERS)}
    teacher = None if options.teacher is None else str(options.teacher)
    return {"name": "checkpoint", "location": checkpoint, "seed": options.seed or 0, "teacher": teacher}


def _imported(given: str) -> str:
    """`MODULE:NAME` for a module or a file; a file is imported first."""
    place, _, name = given.partition(":")
    if place.endswith(".py"):
        place = import_file(Path(place)).__name__
    return f"{place}:{name or BUILD}"
