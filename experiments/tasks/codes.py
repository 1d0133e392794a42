"""The maker of the teacher's code cache."""

from __future__ import annotations

from typing import Any

from experiments.tasks.base import MODEL, Task
from sftok.teacher.vqgan import MaskGITVQGAN, VQGANConfig
from sftok.tokens import TokenCache, write_tokens
from sftok.weights import load_tensors

BATCH_SIZE = 500


def write_code_cache(task: Task) -> dict[str, Any]:
    """Encode the training images with the frozen teacher."""
    teacher = load_teacher(task)
    image_set, size = task.load_data("train"), teacher.config.codebook_size
    write_tokens(teacher.encode, size, image_set, task.folder, BATCH_SIZE, task.monitor.progress)
    counts = TokenCache(task.folder, len(image_set), teacher.config.num_codes).counts()
    return {"images": len(image_set), "codes_used": int((counts > 0).sum()), "codebook_size": size}


def load_teacher(task: Task) -> MaskGITVQGAN:
    """The teacher among the task's inputs, frozen."""
    tensors, metadata = load_tensors(task.inputs["teacher"] / MODEL)
    teacher = MaskGITVQGAN(VQGANConfig.model_validate_json(metadata["config"]))
    teacher.load_state_dict(tensors)
    return teacher.eval().requires_grad_(False)
