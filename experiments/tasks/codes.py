"""The maker of the teacher's code cache, and of any frozen model's ids of the training images."""

from __future__ import annotations

from typing import Any

from experiments.tasks.base import Task
from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN
from sftok.tokens import TokenCache, write_tokens

BATCH_SIZE = 500
"""Images that are read together; the models take what fits of them at a time."""


def write_code_cache(task: Task) -> dict[str, Any]:
    """Encode the training images, in each of their views, with the frozen teacher."""
    return write_ids(task, load_teacher(task))


def write_ids(task: Task, encoder: MaskGITVQGAN | SFTok) -> dict[str, Any]:
    """Encode the training images with a frozen model into the task's folder."""
    device = task.open_device()

    def on_progress(done: int, total: int) -> None:
        task.report(done / total)

    image_set = task.load_data("train")
    views = task.augmentation
    write_tokens(
        encoder.to(device),
        image_set,
        task.folder,
        BATCH_SIZE,
        on_progress,
        augmentation=views,
        device=device,
    )
    counts = TokenCache(task.folder, len(image_set), encoder.num_tokens, views).counts()
    return {
        "images": len(image_set),
        "codes_used": int((counts > 0).sum()),
        "codebook_size": encoder.codebook_size,
    }


def load_teacher(task: Task) -> MaskGITVQGAN:
    """The teacher among the task's inputs, frozen."""
    return MaskGITVQGAN.from_pretrained(task.inputs["teacher"]).requires_grad_(False)
