"""How each kind of artifact is made."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.tasks.base import Maker
from experiments.tasks.checkpoint import evaluate_checkpoint
from experiments.tasks.codes import write_code_cache
from experiments.tasks.evaluation import evaluate_artifact
from experiments.tasks.training import train_classifier, train_stage, train_teacher

MAKERS: Mapping[str, Maker] = {
    "classifier": train_classifier,
    "teacher": train_teacher,
    "codes": write_code_cache,
    "stage": train_stage,
    "evaluation": evaluate_artifact,
    "checkpoint": evaluate_checkpoint,
}

PARALLEL_KINDS = frozenset({"teacher", "stage"})
"""The kinds that several processes make together; the others are made by the first alone."""
