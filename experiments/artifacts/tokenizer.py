"""What every trained tokenizer offers to whatever is made from it, whichever way it was trained."""

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
    """An artifact that leaves a tokenizer: images to ids, or to continuous latents, and back.

    Attributes:
        subject: what the numbers of its evaluation are of.
    """

    subject: ClassVar[str] = "tokenizer"

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """Ids of an image."""

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """The number of different ids."""

    @property
    def shape(self) -> TokenShape:
        """What a generator of its tokens makes."""
        return TokenShape(num_tokens=self.num_tokens, vocabulary=self.vocabulary)

    @property
    def on_grid(self) -> bool:
        """Whether each place of a 2D grid has one token, in raster order."""
        return False

    @abstractmethod
    def open(self, context: Context, kept_tokens: int | None = None) -> Any:
        """The finished tokenizer, frozen; decoded from its first `kept_tokens` alone, if given."""

    def open_decoder(
        self, context: Context, decoding: DecodingConfig | None, precision: Precision, device: torch.device
    ) -> DecodeTokens:
        """Ids to images, as `decoding` says; None for a tokenizer without steps."""
        tokenizer = self.open(context).to(device)
        if decoding is None:
            return lambda ids, noise: tokenizer.decode(ids)
        from sftok.evaluation.tokenizers import decode_ids

        return lambda ids, noise: decode_ids(tokenizer, ids, decoding, precision, noise)[0]
