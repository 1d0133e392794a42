"""The teacher's codes of the training images, computed once, and a helper that any frozen encoder uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from experiments.artifacts.teacher import Teacher
from sftok.data.augmentation import AugmentationConfig

if TYPE_CHECKING:
    from sftok.models.maskgit_vqgan import MaskGITVQGAN
    from sftok.tokenizers.pixel import PixelTokenizer
    from sftok.tokenizers.sftok import SFTok

BATCH_SIZE = 500
"""Number of images read together; models split them into batches that fit."""


class Codes(Artifact, kind="codes"):
    """The codes of each view of every training image."""

    teacher: Teacher
    augmentation: AugmentationConfig = AugmentationConfig()

    def make(self, context: Context) -> dict[str, Any]:
        """Encode the training images with the frozen teacher."""
        return write_ids(context, self, self.teacher.open(context), self.augmentation)


def write_ids(
    context: Context,
    artifact: Artifact,
    encoder: MaskGITVQGAN | SFTok | PixelTokenizer,
    augmentation: AugmentationConfig,
) -> dict[str, Any]:
    """Encode the training images with a frozen model into the folder of `artifact`."""
    from experiments.artifacts.training import views
    from sftok.data.tokens import TokenCache, write_tokens

    def on_progress(done: int, total: int) -> None:
        context.report(done / total)

    device = context.open_device(artifact)
    images, shown = context.load_data("train"), views(augmentation)
    write_tokens(
        encoder.to(device), images, context.folder, BATCH_SIZE, on_progress, augmentation=shown, device=device
    )
    if encoder.codebook_size == 0:  # continuous latents instead of ids
        return {"images": len(images)}
    counts = TokenCache(context.folder, len(images), encoder.num_tokens, shown).counts()
    return {
        "images": len(images),
        "codes_used": int((counts > 0).sum()),
        "codebook_size": encoder.codebook_size,
    }
