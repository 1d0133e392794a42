"""The interface of all trained tokenizers, independent of how they were trained."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import Context
from sftok.decoding.schedule import DecodingConfig
from sftok.generators.base import TokenShape

if TYPE_CHECKING:
    import torch

    from sftok.evaluation.config import Precision
    from sftok.generation import DecodeTokens


class TokenizerArtifact(Artifact):
    """An artifact that produces a tokenizer, which maps images to ids or continuous latents and back.

    Attributes:
        subject: the subject of its rows of results, `tokenizer` for most.
    """

    subject: ClassVar[str] = "tokenizer"

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """Number of ids per image."""

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Number of different ids."""

    @property
    def shape(self) -> TokenShape:
        """The shape of its tokens, which a generator learns."""
        return TokenShape(num_tokens=self.num_tokens, vocabulary=self.vocabulary)

    @property
    def on_grid(self) -> bool:
        """Whether each place of a 2D grid has exactly one token, in raster order."""
        return False

    @abstractmethod
    def open(self, context: Context, kept_tokens: int | None = None) -> Any:
        """Load the finished tokenizer, frozen; it decodes only its first `kept_tokens`, if given."""

    def open_decoder(
        self, context: Context, decoding: DecodingConfig | None, precision: Precision, device: torch.device
    ) -> DecodeTokens:
        """A function from ids to images; `decoding` is None for a tokenizer without decoding steps."""
        tokenizer = self.open(context).to(device)
        if decoding is None:
            return lambda ids, noise: tokenizer.decode(ids)
        from sftok.evaluation.tokenizers import decode_ids

        return lambda ids, noise: decode_ids(tokenizer, ids, decoding, precision, noise)[0]
