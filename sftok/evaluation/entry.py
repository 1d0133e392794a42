"""Detects problems of a tokenizer within seconds, before hours are spent on its evaluation."""

from __future__ import annotations

import torch

from sftok.data.base import ImageSet
from sftok.data.batches import to_unit_range
from sftok.evaluation.subjects.base import SubjectError
from sftok.evaluation.tokenizers import Reconstructor, Tokenizer

CHECKED = 4
"""Number of images that are encoded both alone and together."""
TOLERATED = 0.01
"""Share of ids that may differ: rounding in kernels depends on the batch size, which decides between two
codes that are equally near."""


@torch.inference_mode()
def check_ids(measured: Tokenizer | Reconstructor, image_set: ImageSet, name: str) -> None:
    """Reject a tokenizer whose ids for an image depend on the other images of its batch.

    Raises:
        SubjectError: the message names an image, the position of a token, and both of its ids.
    """
    if isinstance(measured, Reconstructor):
        return
    measured.eval()
    images = to_unit_range(image_set.images(torch.arange(min(CHECKED, len(image_set)))))
    together = measured.encode(images)
    if together.is_floating_point():
        return
    alone = torch.cat([measured.encode(image[None]) for image in images])
    if together.shape != alone.shape:
        raise SubjectError(
            f"{name}: {len(images)} images together give ids {list(together.shape)}, "
            f"one by one {list(alone.shape)}"
        )
    differ = (together != alone).nonzero()
    if len(differ) > TOLERATED * together.numel():
        image, token = differ[0].tolist()
        raise SubjectError(
            f"{name}: ids depend on the batch: token {token} of image {image} is {alone[image, token]} alone "
            f"and {together[image, token]} in a batch of {len(images)} ({len(differ)} of {together.numel()} "
            "ids differ); encode each image by itself, without statistics or matching across the batch"
        )
