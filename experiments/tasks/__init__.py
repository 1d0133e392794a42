"""How each kind of artifact is made.

Makers are named and imported when needed: a job that trains must not wait for the evaluation's libraries.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from experiments.tasks.base import Maker

MAKERS: Mapping[str, str] = {
    "classifier": "experiments.tasks.training:train_classifier",
    "teacher": "experiments.tasks.teacher:make_teacher",
    "codes": "experiments.tasks.codes:write_code_cache",
    "stage": "experiments.tasks.training:train_stage",
    "evaluation": "experiments.tasks.evaluation:evaluate_artifact",
    "tokens": "experiments.tasks.generation:write_token_cache",
    "generator": "experiments.tasks.generation:train_generator",
    "guidance": "experiments.tasks.generation:choose",
    "generation": "experiments.tasks.generation:evaluate_generator",
    "analysis": "experiments.tasks.analysis:analyse",
    "checkpoint": "experiments.tasks.checkpoint:evaluate_checkpoint",
}


PARALLEL_KINDS = frozenset({"teacher", "stage", "generator"})
"""The kinds that several processes make together; the others are made by the first alone."""


def find_maker(kind: str) -> Maker:
    """The maker of `kind`.

    Raises:
        KeyError: no such kind.
    """
    module, _, name = MAKERS[kind].partition(":")
    maker: Maker = getattr(importlib.import_module(module), name)
    return maker
