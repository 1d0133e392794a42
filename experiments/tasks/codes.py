"""The maker of the teacher's code cache."""

from __future__ import annotations

from typing import Any

from experiments.tasks.base import Task
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.tokens import TokenCache, write_tokens

BATCH_SIZE = 500


def write_code_cache(task: Task) -> dict[str, Any]:
    """Encode the training images with the frozen teacher."""
    device = task.open_device()
    teacher = load_teacher(task).to(device)

    def on_progress(done: int, total: int) -> None:
        task.report(done / total)

    image_set = task.load_data("train")
    write_tokens(teacher, image_set, task.folder, BATCH_SIZE, on_progress, device=device)
    counts = TokenCache(task.folder, len(image_set), teacher.num_tokens).counts()
    return {
        "images": len(image_set),
        "codes_used": int((counts > 0).sum()),
        "codebook_size": teacher.config.codebook_size,
    }


def load_teacher(task: Task) -> MaskGITVQGAN:
    """The teacher among the task's inputs, frozen."""
    return MaskGITVQGAN.from_pretrained(task.inputs["teacher"]).requires_grad_(False)
