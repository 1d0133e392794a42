"""A tokenizer's ids of the training images, which a generator learns; and how ids become images again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.codes import load_teacher, write_ids
from experiments.artifacts.context import Context
from experiments.artifacts.stage import TrainStage, load_tokenizer
from experiments.artifacts.teacher import Teacher
from sftok.data.augmentation import AugmentationConfig
from sftok.decoding.schedule import DecodingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sftok.evaluation.config import Precision
    from sftok.generation import DecodeTokens


class Tokens(Artifact, kind="tokens"):
    """The ids of every training image, seen as its center crop."""

    tokenizer: TrainStage

    def make(self, context: Context) -> dict[str, Any]:
        """Encode the training images with the frozen tokenizer."""
        tokenizer = load_tokenizer(context, self.tokenizer)
        return write_ids(context, self, tokenizer, AugmentationConfig())


def open_decoder(
    context: Context,
    model: TrainStage | Teacher,
    decoding: DecodingConfig | None,
    precision: Precision,
    device: torch.device,
) -> DecodeTokens:
    """Ids to images, by a tokenizer or by the teacher, which has no decoding to choose."""
    if isinstance(model, Teacher):
        teacher = load_teacher(context, model).to(device)
        return lambda ids, noise: teacher.decode(ids)
    from sftok.evaluation.tokenizers import decode_ids

    assert decoding is not None
    tokenizer: Any = load_tokenizer(context, model).to(device)

    def decode(ids: Tensor, noise: torch.Generator) -> Tensor:
        images, _ = decode_ids(tokenizer, ids, decoding, precision, noise)
        return images

    return decode
