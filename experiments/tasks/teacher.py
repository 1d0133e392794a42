"""The maker of the teacher: trained, or taken over from weights that are given."""

from __future__ import annotations

import json
from typing import Any

from experiments.planning.given_teacher import WEIGHTS
from experiments.tasks.base import MODEL, Task
from experiments.tasks.training import train_model
from sftok.checkpoints import CheckpointError
from sftok.hub import identity, open_tokenizer
from sftok.randomness import generator
from sftok.teacher.vqgan import MaskGITVQGAN, VQGANConfig
from sftok.training.stages.teacher import TeacherStage
from sftok.weights import save_tensors


def make_teacher(task: Task) -> dict[str, Any]:
    """The MaskGIT-VQGAN."""
    return _train(task) if task.artifact.origin is None else _take_over(task, task.artifact.origin)


def _train(task: Task) -> dict[str, Any]:
    model_config = VQGANConfig.model_validate(task.config["model"])
    teacher = MaskGITVQGAN(model_config, generator(task.config["seed"], "initialisation"))
    return train_model(task, TeacherStage(teacher), teacher, model_config, task.load_data("train"))


def _take_over(task: Task, origin: str) -> dict[str, Any]:
    """The given weights under our names, so that all that follows reads them as it reads any teacher.

    Raises:
        CheckpointError: they are others than those that were planned with.
    """
    if not task.world.is_first:
        return {}
    teacher = open_tokenizer(origin)
    if identity(teacher) != task.artifact.data[WEIGHTS]:
        raise CheckpointError(f"{origin}: the weights changed since the run was planned; start it again")
    record = json.dumps(teacher.record.model_dump(mode="json"))
    return {"weights": save_tensors(task.folder / MODEL, teacher.state_dict(), {"config": record})}
