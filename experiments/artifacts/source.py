"""Where a generator's ids come from, and how they become images again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.artifacts.codes import Codes, load_teacher
from experiments.artifacts.context import Context
from experiments.artifacts.stage import TrainStage, load_tokenizer
from experiments.artifacts.teacher import Teacher
from experiments.artifacts.tokens import Tokens
from experiments.recipe import Recipe
from sftok.decoding.schedule import DecodingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from sftok.evaluation.config import Precision
    from sftok.generation import DecodeIds


@dataclass(frozen=True, kw_only=True)
class TokenSource:
    """A frozen encoder's ids of the training images."""

    model: TrainStage | Teacher
    tokens: Tokens | Codes
    decoding: DecodingConfig | None = None
    """How ids are decoded; None for the teacher, which has no choice."""

    @classmethod
    def of_tokenizer(
        cls, recipe: Recipe, tokenizer: TrainStage, fingerprints: Mapping[str, str], label: str
    ) -> TokenSource:
        """The ids of a trained tokenizer."""
        evaluation = recipe.evaluation
        return cls(
            model=tokenizer,
            tokens=Tokens.plan(recipe, tokenizer, fingerprints, label),
            decoding=DecodingConfig(
                steps=1 if recipe.single_step else recipe.generation.decoding_steps,
                temperature=evaluation.temperature,
                schedule=evaluation.schedule,
                final_lookup=evaluation.final_lookup,
            ),
        )

    @property
    def num_tokens(self) -> int:
        """Ids of an image."""
        if isinstance(self.model, Teacher):
            return self.model.num_codes
        return self.model.model.num_latent_tokens

    @property
    def vocabulary(self) -> int:
        """The number of different ids."""
        if isinstance(self.model, Teacher):
            return self.model.backbone.codebook_size
        return self.model.model.quantizer.codebook_size


def open_decoder(
    context: Context,
    model: TrainStage | Teacher,
    decoding: DecodingConfig | None,
    precision: Precision,
    device: torch.device,
) -> DecodeIds:
    """Ids to images, by the tokenizer or by the teacher."""
    if isinstance(model, Teacher):
        teacher = load_teacher(context, model).to(device)
        return lambda ids, noise: teacher.decode(ids)
    from sftok.evaluation.tokenizers import decode_ids

    assert decoding is not None
    tokenizer = load_tokenizer(context, model).to(device)

    def decode(ids: Tensor, noise: torch.Generator) -> Tensor:
        images, _ = decode_ids(tokenizer, ids, decoding, precision, noise)
        return images

    return decode
